#!/usr/bin/env python3
"""The unit under a systemd of its own: start, reload, death, stop.

    systemd_test FUSED.deb NEXT.deb AGAIN.deb

As install_test, in namespaces of its own, but with systemd as the first process
there. Where that cannot be (no cgroups that may be written) the cases are
skipped.
"""

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases
import install_test
from install_test import MOUNT, LOWER, run

NEWNS, NEWCGROUP, NEWPID = 0x20000, 0x02000000, 0x20000000
CGROUPS = "/sys/fs/cgroup"
SYSTEMD = "/lib/systemd/systemd"
TARGET = """
[Unit]
Description=Nothing but what is asked for
DefaultDependencies=no
"""
WHY_NOT = None


def write(path, text):
    with open(path, "w", encoding="utf8") as out:
        out.write(text)


def read(path):
    with open(path, encoding="utf8") as content:
        return content.read()


def property_of(name):
    return run("systemctl", "show", "--property=" + name, "--value", "fused").stdout.strip()


class SystemdTest(unittest.TestCase):
    """In the order of the names."""

    def setUp(self):
        if WHY_NOT:
            self.skipTest(WHY_NOT)

    def test_1_starts_with_all_its_hardening(self):
        # Of a file system on which the kernel serves.
        run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", LOWER)
        # As the manual page says.
        (text,) = install_test.examples("fused.8", "systemd")
        run("sh", "-ec", text)
        self.assertEqual(property_of("ActiveState"), "active")
        self.assertEqual(property_of("UnitFileState"), "enabled")
        self.assertIn("policy scoped_storage version 0", property_of("StatusText"))
        install_test.serves(self, "a.jpg")
        self.assertNotIn('"passthrough": "0"', run("fusedctl", "--json", "status").stdout)
        self.assertTrue(os.path.isdir(run("fusedctl", "view", "--package=org.example.camera").stdout.strip()))

    def test_2_reload(self):
        def in_force():
            return re.search(r'"apps": \{\s*"version": "(\d+)"', run("fusedctl", "--json", "status").stdout).group(1)

        pid = property_of("MainPID")
        config = read("/etc/fused/fused.textproto")
        named = config + 'apps: "/etc/fused/apps.textproto"\n'
        write("/etc/fused/apps.textproto", 'version: 7 apps { package: "a.b" uid: 10061 }')
        write("/etc/fused/fused.textproto", named + "nonsense: 1\n")
        self.assertNotEqual(run("systemctl", "reload", "fused", check=False).returncode, 0)
        self.assertNotEqual(in_force(), "7")
        # A file that the configuration did not name at the start.
        write("/etc/fused/fused.textproto", named)
        run("systemctl", "reload", "fused")
        self.assertEqual(in_force(), "7")
        # What the daemon refuses, and no check can know: the version has not grown.
        write("/etc/fused/apps.textproto", "version: 7")
        self.assertNotEqual(run("systemctl", "reload", "fused", check=False).returncode, 0)
        self.assertEqual(in_force(), "7")
        write("/etc/fused/fused.textproto", config)
        os.unlink("/etc/fused/apps.textproto")
        self.assertEqual(property_of("MainPID"), pid)
        self.assertEqual(property_of("ActiveState"), "active")

    def test_3_a_daemon_that_dies_is_started_again(self):
        pid = int(property_of("MainPID"))
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(select.select([descriptor], [], [], 20)[0])
        os.close(descriptor)
        # It comes when systemd has waited RestartSec.
        run("fusedctl", "wait", "--timeout=30s")
        self.assertNotEqual(int(property_of("MainPID")), pid)
        self.assertEqual(read(MOUNT + "/DCIM/d/a.jpg"), "hello\n")

    def test_4_stop_unmounts(self):
        run("systemctl", "stop", "fused")
        self.assertFalse(install_test.mounted())
        self.assertEqual(property_of("Result"), "success")

    def test_5_a_wrong_configuration_is_tried_once(self):
        config = read("/etc/fused/fused.textproto")
        write("/etc/fused/fused.textproto", config + "nonsense: 1\n")
        self.assertNotEqual(run("systemctl", "start", "fused", check=False).returncode, 0)
        # Not activating, as where it is to be tried again.
        self.assertEqual(property_of("ActiveState"), "failed")
        self.assertEqual(property_of("ExecMainStatus"), "2")
        self.assertEqual(property_of("NRestarts"), "0")
        write("/etc/fused/fused.textproto", config)
        run("systemctl", "start", "fused")
        run("systemctl", "stop", "fused")


def unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        sys.exit("unshare: " + os.strerror(ctypes.get_errno()))


def own_cgroup():
    """Goes into a new group; returns it, or None where there are no groups."""
    for root in (CGROUPS, CGROUPS + "/unified"):
        if os.path.exists(root + "/cgroup.procs") and os.path.exists(root + "/cgroup.controllers"):
            try:
                group = tempfile.mkdtemp(prefix="fused.", dir=root)
                write(group + "/cgroup.procs", str(os.getpid()))
                return group
            except OSError:
                return None
    return None


def remove_cgroup(group):
    for directory, _, _ in os.walk(group, topdown=False):
        os.rmdir(directory)


def prepare():
    """What the package's scripts would have done, for one unit alone."""
    write("/etc/systemd/system/only.target", TARGET)
    run("dpkg", "--unpack", "/tmp/fused.deb")
    os.rename("/etc/fused/fused.textproto.dpkg-new", "/etc/fused/fused.textproto")
    for path, mode in ((LOWER, 0o700), (MOUNT, 0)):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
    # Of the machine's groups it sees its own.
    run("umount", "--lazy", CGROUPS)
    run("mount", "-t", "cgroup2", "cgroup2", CGROUPS)


def boot():
    """Starts systemd as the first process."""
    unshare(NEWPID)
    first = os.fork()
    if first == 0:
        run("mount", "-t", "proc", "proc", "/proc")
        null = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.execve(SYSTEMD, [SYSTEMD, "--system", "--unit=only.target"], {"container": "lxc", "PATH": os.environ["PATH"]})
    return first


def answers():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if run("systemctl", "list-units", check=False).returncode == 0:
            return True
        select.select([], [], [], 0.1)  # it has nobody to tell
    return False


def inside(top, arguments):
    """The machine, from its making to its end; returns the exit code."""
    global WHY_NOT
    group = own_cgroup()
    if group is None:
        WHY_NOT = "no cgroups that may be written"
        cases.main()
    child = os.fork()
    if child != 0:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        write(os.path.dirname(group) + "/cgroup.procs", str(os.getpid()))
        remove_cgroup(group)
        return code
    unshare(NEWNS | NEWCGROUP)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", top)
    install_test.enter_root(top, dict(zip(("fused.deb", "next.deb", "again.deb"), arguments)))
    prepare()
    first = boot()
    code = 1
    try:
        tester = os.fork()
        if tester == 0:
            if not answers():
                WHY_NOT = "systemd does not start here"
            result = cases.run(failfast=True)
            os._exit(0 if result.wasSuccessful() else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(tester, 0)[1])
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    return code


def main():
    global WHY_NOT
    arguments = [os.path.abspath(path) for path in sys.argv[1:4]]
    del sys.argv[1:4]
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    WHY_NOT = install_test.why_not()
    if WHY_NOT:
        cases.main()
    top = tempfile.mkdtemp(prefix="fused.", dir="/tmp")
    child = os.fork()
    if child == 0:
        sys.exit(inside(top, arguments))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.rmdir(top)
    sys.exit(code)


if __name__ == "__main__":
    main()
