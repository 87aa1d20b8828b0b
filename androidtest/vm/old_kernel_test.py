#!/usr/bin/env python3
"""Serves files on a kernel that has no passthrough: Debian 12's own, 6.1, in a
virtual machine. It has lower file systems that fold case, too: vfat, and ext4
with casefold; device tests run on them.

  ./bazelw test //androidtest/vm:old_kernel_test --test_output=all

Needs qemu-system-x86 and busybox-static. The kernel's package is fetched by apt
and unpacked, not installed; or named: --test_arg=--kernel=FILE.deb.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from initramfs import Archive, Kernel

MODULES = ("fuse", "loop", "ext4", "crc32c_generic", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "utf8data")
# The root directory's flags: extents, and casefold (EXT4_CASEFOLD_FL).
FOLDED = "set_inode_field <2> flags 0x40080000"
# The machine is emulated; it takes some minutes on an idle one.
SECONDS = 2400


class Missing(Exception):
    """Something that this machine lacks."""


def find(program, package):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if path is None:
        raise Missing("%s (apt-get install %s)" % (program, package))
    return path


def fetch_kernel(into):
    """Downloads the package that linux-image-amd64 stands for."""
    asked = subprocess.run(
        ["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True
    )
    names = re.findall(r"Depends: (linux-image-\S+)", asked.stdout)
    if names:
        subprocess.run(["apt-get", "-qq", "download", names[0]], cwd=into, capture_output=True)
    found = glob.glob(os.path.join(into, "linux-image-*.deb"))
    if not found:
        raise Missing("a kernel (apt cannot fetch linux-image-amd64; or --kernel=FILE.deb)")
    return found[0]


def make_disks(top):
    """Returns the paths of images of lower file systems, by name."""
    disks = {name: os.path.join(top, name) for name in ("ext4", "casefold", "vfat")}
    for disk in disks.values():
        with open(disk, "wb") as file:
            file.truncate(32 << 20)
    ext4 = find("mkfs.ext4", "e2fsprogs")
    subprocess.run([ext4, "-q", "-F", disks["ext4"]], check=True)
    subprocess.run([ext4, "-q", "-F", "-O", "casefold", "-E", "encoding=utf8", disks["casefold"]], check=True)
    subprocess.run(
        [find("debugfs", "e2fsprogs"), "-w", "-R", FOLDED, disks["casefold"]], check=True, capture_output=True
    )
    subprocess.run([find("mkfs.vfat", "dosfstools"), disks["vfat"]], check=True, capture_output=True)
    return disks


def make_initramfs(kernel, options, top):
    here = os.path.dirname(os.path.abspath(__file__))
    archive = Archive()
    archive.add_file("bin/busybox", find("busybox", "busybox-static"))
    archive.add_program("bin/fused", options.fused)
    archive.add_program("bin/fusedctl", options.fusedctl)
    archive.add_program("usr/bin/setpriv", find("setpriv", "util-linux"))
    archive.add_program("usr/sbin/mkfs.vfat", find("mkfs.vfat", "dosfstools"))
    archive.add_file("usr/bin/mount", find("busybox", "busybox-static"))
    for test in options.tests:
        archive.add_program("tests/" + os.path.basename(test), test)
    archive.add_file("init", os.path.join(here, "guest.sh"))
    for name, disk in make_disks(top).items():
        archive.add_file("disk/" + name, disk)
    for i, (name, content) in enumerate(kernel.modules(MODULES)):
        archive.add("modules/%02d-%s.ko" % (i, name), content)
    return archive.bytes()


def boot(qemu, kernel, options, top):
    """Returns all that the machine wrote."""
    files = {}
    for name, content in (("kernel", kernel.image), ("initramfs", make_initramfs(kernel, options, top))):
        files[name] = os.path.join(top, name)
        with open(files[name], "wb") as file:
            file.write(content)
    machine = [qemu, "-accel", "tcg", "-m", "2048", "-smp", "2", "-nodefaults", "-no-reboot"]
    machine += ["-display", "none", "-serial", "stdio", "-kernel", files["kernel"], "-initrd", files["initramfs"]]
    machine += ["-append", "console=ttyS0 panic=-1 quiet"]
    try:
        done = subprocess.run(machine, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace").replace("\r", "")
    return (done.stdout + done.stderr).decode(errors="replace").replace("\r", "")


def check_status(where, text):
    """Returns (name, right) of what the status has to say."""
    try:
        volume = json.loads(text)["volumes"][0]
    except (ValueError, LookupError):
        return [(where + ": status is JSON", False)]
    opens = volume["opens"]
    print("%s: %s" % (where, json.dumps({"passthrough_reason": volume["passthrough_reason"], "opens": opens})))
    return [
        (where + ": no passthrough", volume["passthrough"] is False),
        (where + ": status says why", volume["passthrough_reason"] == "the kernel does not offer it"),
        (where + ": the daemon serves all opens", int(opens["daemon"]) > 0 and int(opens["passthrough"]) == 0),
        (where + ": it has seen the bytes", int(volume["requests"]["READ"]) > 0 and int(volume["requests"]["WRITE"]) > 0),
        (where + ": every request was answered", int(volume["unanswered"]) == 0),
    ]


def judge(output):
    results = []
    for line in output.splitlines():
        told = re.match(r"(ok|not ok) (.*)", line)
        if told:
            results.append((told.group(2), told.group(1) == "ok"))
    for where, text in re.findall(r"status-begin (\S+)\n(.*?)status-end", output, re.S):
        results += check_status(where, text)
    results.append(("the machine came to its end", "\nfinished" in output))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fused", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--fusedctl", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--kernel", metavar="FILE.deb", help="a Debian package of another kernel")
    parser.add_argument("tests", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fused-vm-") as top:
        try:
            qemu = find("qemu-system-x86_64", "qemu-system-x86")
            kernel = Kernel(options.kernel or fetch_kernel(top))
            output = boot(qemu, kernel, options, top)
        except (Missing, ValueError) as missing:
            sys.exit("old_kernel_test: missing: %s" % missing)
    print(output)
    results = judge(output)
    failed = [name for name, right in results if not right]
    for name in failed:
        print("FAILED: " + name)
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
