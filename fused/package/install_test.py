#!/usr/bin/env python3
"""A machine's life with the package: install, start, serve, upgrade, remove.

    install_test FUSED.deb NEXT.deb AGAIN.deb

The machine is this one's own root with an overlay over it, in a mount namespace
of its own: nothing that happens there is left when the test ends. There is no
systemd in it, so the init script starts the daemon; the unit is checked by
systemd-analyze, and its command is run with the capabilities that it leaves.
"""

import configparser
import ctypes
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

NEWNS = 0x20000
LOWER = "/var/lib/fused-media"
MOUNT = "/media/fused"
UNIT = "/lib/systemd/system/fused.service"
APPS = """
version: 1
apps { package: "org.example.camera" uid: 10061 target_sdk: 34 }
"""
# Where a package leaves things.
WATCHED = ("/etc", "/lib/systemd", "/media", "/opt", "/run", "/sbin", "/srv", "/usr/bin", "/usr/lib/sysusers.d",
           "/usr/lib/tmpfiles.d", "/usr/share", "/var/lib", "/var/log")
# What dpkg and its kind write for every package.
DPKG = re.compile(r"^/var/lib/(dpkg|apt|systemd/deb-systemd-helper-(enabled|masked))(/|$)|^/var/log/|"
                  r"^/var/cache/|^/etc/(group|gshadow|passwd|shadow|subuid|subgid)-?$|"
                  r"^/etc/rc[0-6S]\.d$|^/run/(lock|systemd)(/|$)|^/run/adduser$|^/etc/.pwd.lock$|^/var/lib/systemd$")


def why_not():
    if os.geteuid() != 0:
        return "not root"
    return None if os.path.exists("/dev/fuse") else "no /dev/fuse"


def run(*command, check=True, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        timeout=120, check=False, text=True, **options
    )
    if check and done.returncode != 0:
        raise AssertionError("%s: %d\n%s" % (" ".join(command), done.returncode, done.stdout))
    return done


def enter_root(top, debs):
    """Makes the machine and goes into it."""
    for name in ("upper", "work", "root"):
        os.mkdir(os.path.join(top, name))
    root = os.path.join(top, "root")
    run("mount", "-t", "overlay", "-o", "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (top, top), "overlay", root)
    for name in ("proc", "sys", "dev"):
        run("mount", "--rbind", "/" + name, os.path.join(root, name))
    for name in ("run", "tmp"):
        run("mount", "-t", "tmpfs", "tmpfs", os.path.join(root, name))
    for name, deb in debs.items():
        shutil.copy(deb, os.path.join(root, "tmp", name))
    os.chroot(root)
    os.chdir("/")
    # Images of containers forbid services to start, and invoke-rc.d forbids it
    # where there is no init program; it also asks whether the machine is up.
    for path, script in (("/usr/sbin/policy-rc.d", "exit 0"), ("/sbin/runlevel", "echo N 2")):
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w", encoding="utf8") as out:
            out.write("#!/bin/sh\n%s\n" % script)
        os.chmod(path, 0o755)
    # What may have been installed on the machine itself.
    run("dpkg", "--purge", "fused", check=False)


def everything():
    found = set()
    for top in WATCHED:
        for directory, directories, names in os.walk(top):
            for name in directories + names:
                path = os.path.join(directory, name)
                if not DPKG.search(path):
                    found.add(path)
    return found


def mounted():
    with open("/proc/self/mounts", encoding="utf8") as table:
        return any(line.split()[1:3] == [MOUNT, "fuse.fused"] for line in table)


def daemon_pid():
    return int(re.search(r'"pid": (\d+)', run("fusedctl", "--json", "status").stdout).group(1))


def serves(case, name):
    """An app makes a file and reads it; somebody else may not."""
    with open("/tmp/apps.textproto", "w", encoding="utf8") as out:
        out.write(APPS)
    run("fusedctl", "apps", "/tmp/apps.textproto")
    script = "mkdir -p %s/DCIM/d && echo hello > %s/DCIM/d/%s && cat %s/DCIM/d/%s" % (MOUNT, MOUNT, name, MOUNT, name)
    made = run("fusedctl", "run", "--package=org.example.camera", "--", "sh", "-c", script)
    case.assertEqual(made.stdout, "hello\n")
    case.assertTrue(os.path.exists("%s/DCIM/d/%s" % (LOWER, name)))
    refused = run("setpriv", "--reuid=10099", "--regid=10099", "--clear-groups", "cat",
                  "%s/DCIM/d/%s" % (MOUNT, name), check=False)
    case.assertNotEqual(refused.returncode, 0)
    status = run("fusedctl", "--json", "status").stdout
    case.assertIn('"state": "SERVING"', status)


PAGES = ("fused.8", "fusedctl.1", "fused.policy.5", "mount.fuse.fused.8")
# How examples are tried: by this test, and by systemd_test.
KINDS = ("apps", "config", "foreground", "fstab", "fstab-before", "policy", "service", "sh", "systemd")


def source_of(name):
    return run("zcat", "/usr/share/man/man%s/%s.gz" % (name.rsplit(".", 1)[1], name)).stdout


def examples(name, kind):
    """The examples of a manual page that are marked to be tried so."""
    page = source_of(name)
    found = re.findall(r'^\.\\" test: %s\n\.Bd[^\n]*\n(.*?)\n\.Ed' % kind, page, re.M | re.S)
    return [text.replace("\\&", "").replace("\\e", "\\") for text in found]


@unittest.skipIf(why_not(), why_not())
class ExamplesTest(unittest.TestCase):
    """The manual pages' examples, on a machine that has the package."""

    @classmethod
    def setUpClass(cls):
        if why_not():
            return
        run("dpkg", "--install", "/tmp/fused.deb")
        for path in ("/var/lib/fused-card", "/media/card", "/tmp/examples"):
            os.mkdir(path, 0o700)

    @classmethod
    def tearDownClass(cls):
        run("dpkg", "--purge", "fused")
        for path in ("/var/lib/fused-card", "/media/card", "/tmp/examples", "/var/lib/fused-2", "/run/fused-2"):
            shutil.rmtree(path, ignore_errors=True)

    def test_commands(self):
        tried = 0
        for page in ("fused.8", "fusedctl.1"):
            for text in examples(page, "sh"):
                with self.subTest(example=text):
                    run("sh", "-ec", text, cwd="/tmp/examples")
                    tried += 1
        self.assertGreaterEqual(tried, 4)

    def test_every_example_is_tried(self):
        for page in PAGES:
            for mark, start in re.findall(r"(?m)^(.*)\n(\.Bd .*-literal.*|\.Bd -literal|\.Dl \$ .*)$", source_of(page)):
                with self.subTest(page=page, example=start):
                    self.assertIn(mark, ['.\\" test: ' + kind for kind in KINDS])

    def test_foreground(self):
        run("/etc/init.d/fused", "stop")
        (text,) = examples("fused.8", "foreground")
        with open("/tmp/examples/apps.textproto", "w", encoding="utf8") as out:
            out.write(APPS)
        with subprocess.Popen(["sh", "-ec", "exec " + text], cwd="/tmp/examples") as daemon:
            try:
                run("fusedctl", "wait")
                self.assertIn('"count": "1"', run("fusedctl", "--json", "status").stdout)
                self.assertTrue(mounted())
                daemon.send_signal(signal.SIGINT)  # the terminal's
                self.assertEqual(daemon.wait(20), 0)
            finally:
                daemon.kill()
        self.assertFalse(mounted())
        run("/etc/init.d/fused", "start")

    def test_service(self):
        run("/etc/init.d/fused", "stop")
        (text,) = examples("fused.8", "service")
        run("sh", "-ec", text)
        self.assertTrue(mounted())
        self.assertTrue([name for name in os.listdir("/etc/rc2.d") if re.fullmatch(r"S\d\dfused", name)])

    def test_configuration(self):
        for place, text in (("policy", 'name: "x" version: 1'), ("apps", "version: 1")):
            with open("/etc/fused/%s.textproto" % place, "w", encoding="utf8") as out:
                out.write(text)
        (text,) = examples("fused.8", "config")
        with open("/tmp/examples/config", "w", encoding="utf8") as out:
            out.write(text)
        self.assertEqual(run("fused", "--check", "--config=/tmp/examples/config").stdout, "")
        for place in ("policy", "apps"):
            os.unlink("/etc/fused/%s.textproto" % place)

    def test_policies(self):
        # What each decides is //policy/cookbook's test.
        texts = examples("fused.policy.5", "policy")
        self.assertGreaterEqual(len(texts), 10)
        for text in texts:
            with self.subTest(example=text), open("/tmp/examples/policy", "w+", encoding="utf8") as out:
                out.write(text)
                out.flush()
                run("fusedctl", "lint", "/tmp/examples/policy")

    def test_apps(self):
        texts = examples("fused.policy.5", "apps")
        self.assertEqual(len(texts), 2)
        for text in texts:
            with self.subTest(example=text):
                with open("/tmp/examples/apps", "w", encoding="utf8") as out:
                    out.write(text)
                self.assertEqual(run("fusedctl", "lint", "/tmp/examples/apps").stdout, "")

    def test_fstab(self):
        (text,) = examples("mount.fuse.fused.8", "fstab")
        (before,) = examples("mount.fuse.fused.8", "fstab-before")
        with open("/tmp/examples/fstab", "w", encoding="utf8") as out:
            out.write(text.replace("\\\n  ", "") + "\n")
        # The service serves what the first line is for.
        self.assertTrue(mounted())
        self.assertEqual(run("mount", "-T", "/tmp/examples/fstab", MOUNT, check=False).returncode, 32)
        run("sh", "-ec", before)
        self.assertFalse([name for name in os.listdir("/etc/rc2.d") if re.fullmatch(r"S\d\dfused", name)])
        for place, control in ((MOUNT, "/run/fused/control.sock"), ("/media/card", "/run/fused-2/control.sock")):
            run("mount", "-T", "/tmp/examples/fstab", place)
            pid = int(re.search(r'"pid": (\d+)', run("fusedctl", "--control=" + control, "--json", "status").stdout)[1])
            descriptor = os.pidfd_open(pid)
            run("umount", place)
            self.assertTrue(select.select([descriptor], [], [], 20)[0])
            os.close(descriptor)
        run("update-rc.d", "fused", "enable")
        run("/etc/init.d/fused", "start")

    def test_pages(self):
        for name in PAGES:
            with self.subTest(page=name):
                page = "/tmp/examples/page"
                with open(page, "w", encoding="utf8") as out:
                    out.write(source_of(name))
                self.assertEqual(run("mandoc", "-T", "lint", "-W", "warning", page, check=False).stdout, "")
                shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, check=True, text=True)
                self.assertEqual(shown.stderr, "")
                self.assertNotIn("@", re.sub(r"\S+@\S+\.\w+", "", shown.stdout))

    def test_completion(self):
        def complete(*words):
            script = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fusedctl; echo "${COMPREPLY[@]}"'
            source = ". /usr/share/bash-completion/completions/fusedctl; "
            return run("bash", "-uc", source + script, "bash", *words).stdout.split()

        self.assertEqual(complete("fusedctl", "pus"), ["push"])
        self.assertEqual(complete("fusedctl", "push", "--dr"), ["--dry_run"])
        self.assertEqual(complete("fusedctl", "--json", "view", "--pack"), ["--package="])
        self.assertEqual(complete("fusedctl", "sync", "--pack"), [])
        # As bash cuts it.
        self.assertEqual(complete("fusedctl", "--control", "=", "/x", "pus"), ["push"])
        self.assertEqual(complete("fusedctl", "--control", "=", "/x", "push", "--dr"), ["--dry_run"])
        zsh = "/usr/share/zsh/vendor-completions/_fusedctl"
        run("zsh", "-n", zsh)
        with open(zsh, encoding="utf8") as script:
            self.assertRegex(script.read(), r"\n +push\) offered=\(.*--dry_run")

    def test_every_value_is_described(self):
        page = source_of("fused.8")
        for value in ("MEDIA", "POSIX", "AUTO", "OFF", "DEV", "URING", "PLAIN", "HASHED", "NONE"):
            with self.subTest(value=value):
                self.assertIn("\n.It Li %s\n" % value, page)
        for name in ("fused.8", "fusedctl.1", "fused.policy.5", "mount.fuse.fused.8"):
            sections = re.findall(r"(?m)^\.Sh (.*)$", source_of(name))
            self.assertEqual(sorted(set(sections)), sorted(sections), name)

    def test_every_command_is_described(self):
        page = source_of("fusedctl.1")
        for line in re.findall(r"^  ([a-z]\w*)", run("fusedctl", "--help").stdout, re.M):
            with self.subTest(command=line):
                self.assertRegex(page, r"(?m)^\.It Cm %s\b.*\n[^.]" % line)


@unittest.skipIf(why_not(), why_not())
class InstallTest(unittest.TestCase):
    """In the order of the names: one life."""

    before = None

    def test_1_install_starts_and_serves(self):
        InstallTest.before = everything()
        said = run("dpkg", "--install", "/tmp/fused.deb").stdout
        self.assertTrue(mounted(), said)
        self.assertEqual(stat.S_IMODE(os.stat(LOWER).st_mode), 0o700)
        serves(self, "a.jpg")
        self.assertIn("is running", run("/etc/init.d/fused", "status").stdout)
        # What the package brings says nothing against itself.
        self.assertEqual(run("fused", "--check", "--config=/etc/fused/fused.textproto").stdout, "")
        self.assertEqual(run("fusedctl", "lint", "/usr/share/fused/scoped_storage.textproto").stdout, "")
        self.assertRegex(run("fused", "--version").stdout, r"^fused \d+\.\d+\.\d+\n$")

    def test_2_stop_leaves_a_closed_mount_point(self):
        pid = daemon_pid()
        run("/etc/init.d/fused", "stop")
        self.assertFalse(mounted())
        self.assertFalse(os.path.exists("/proc/%d" % pid))
        self.assertEqual(stat.S_IMODE(os.stat(MOUNT).st_mode), 0)
        refused = run("setpriv", "--reuid=10061", "--clear-groups", "--regid=10061", "touch", MOUNT + "/x", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(run("/etc/init.d/fused", "status", check=False).returncode, 3)
        run("/etc/init.d/fused", "start")
        serves(self, "b.jpg")
        run("/etc/init.d/fused", "reload")
        run("/etc/init.d/fused", "restart")
        serves(self, "c.jpg")

    def test_3_the_units_command_serves_with_what_the_unit_leaves(self):
        run("/etc/init.d/fused", "stop")
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read(UNIT)
        service = unit["Service"]
        keep = ",".join("+" + name[4:].lower() for name in service["CapabilityBoundingSet"].split())
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind("/tmp/notify")
        notify.settimeout(20)
        self.assertEqual(service["Type"], "notify")
        daemon = subprocess.Popen(
            ["setpriv", "--bounding-set=-all," + keep, "--inh-caps=-all", "--no-new-privs"] + service["ExecStart"].split(),
            env=dict(os.environ, NOTIFY_SOCKET="/tmp/notify", WATCHDOG_USEC="3000000"), stderr=subprocess.DEVNULL)
        try:
            told = ""
            while "READY=1" not in told or "WATCHDOG=1" not in told:
                told += notify.recv(4096).decode() + "\n"
            serves(self, "d.jpg")
            daemon.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(20), 0)
        finally:
            daemon.kill()
            daemon.wait()
            notify.close()
            os.unlink("/tmp/notify")
        self.assertFalse(mounted())
        run("/etc/init.d/fused", "start")

    def test_4_an_upgrade_keeps_the_mount_and_says_so(self):
        pid = daemon_pid()
        with open(MOUNT + "/DCIM/d/a.jpg", encoding="utf8") as held:
            said = run("dpkg", "--install", "/tmp/next.deb").stdout
            self.assertEqual(held.read(), "hello\n")
        self.assertIn("goes on serving as it was before", said)
        self.assertIn("service fused restart", said)
        self.assertEqual(daemon_pid(), pid)
        serves(self, "e.jpg")
        run("/etc/init.d/fused", "restart")
        self.assertNotEqual(daemon_pid(), pid)
        serves(self, "f.jpg")
        shown = run("dpkg-query", "--show", "--showformat=${Version}", "fused").stdout
        self.assertTrue(shown.endswith("+next"), shown)

    def test_5_a_configuration_that_would_not_start_stops_nothing(self):
        pid = daemon_pid()
        with open("/etc/fused/fused.textproto", encoding="utf8") as config:
            kept = config.read()
        with open("/etc/fused/fused.textproto", "a", encoding="utf8") as config:
            config.write('threads: 1000\nnonsense: 1\n')
        refused = run("/etc/init.d/fused", "restart", check=False)
        self.assertEqual(refused.returncode, 6)
        self.assertIn("/etc/fused/fused.textproto:", refused.stdout)
        self.assertEqual(daemon_pid(), pid)
        with open("/etc/fused/fused.textproto", "w", encoding="utf8") as config:
            config.write(kept)

    def test_6_remove_unmounts_and_purge_leaves_nothing(self):
        pid = daemon_pid()
        run("dpkg", "--remove", "fused")
        self.assertFalse(mounted())
        self.assertFalse(os.path.exists("/proc/%d" % pid))
        self.assertTrue(os.path.exists("/etc/fused/fused.textproto"))
        # People's files are not the package's.
        said = run("dpkg", "--purge", "fused").stdout
        self.assertIn("holds files and stays", said)
        self.assertTrue(os.path.exists(LOWER + "/DCIM/d/a.jpg"))
        run("dpkg", "--install", "/tmp/next.deb")
        serves(self, "g.jpg")
        for name in os.listdir(LOWER):
            shutil.rmtree(os.path.join(LOWER, name), ignore_errors=True)
        run("dpkg", "--purge", "fused")
        self.assertFalse(mounted())
        self.assertEqual(sorted(everything() - InstallTest.before), [])


@unittest.skipIf(why_not(), why_not())
class PackageTest(unittest.TestCase):
    """What tools say of the package."""

    @classmethod
    def setUpClass(cls):
        if not why_not():
            run("dpkg", "--unpack", "/tmp/fused.deb")

    @classmethod
    def tearDownClass(cls):
        run("dpkg", "--purge", "fused")

    def test_the_same_bytes_each_time(self):
        run("cmp", "/tmp/fused.deb", "/tmp/again.deb")

    def test_unit(self):
        done = run("systemd-analyze", "verify", "--man=no", UNIT)
        self.assertEqual(done.stdout, "")

    def test_unit_hardening(self):
        # It can have no mount namespace of its own, which most points are for.
        run("systemd-analyze", "security", "--offline=true", "--threshold=60", UNIT)

    def test_lintian(self):
        done = run("lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", "/tmp/fused.deb")
        self.assertEqual(done.stdout, "")


def main():
    """The cases of the script, on a machine of their own."""
    debs = dict(zip(("fused.deb", "next.deb", "again.deb"), map(os.path.abspath, sys.argv[1:4])))
    del sys.argv[1:4]
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    if why_not():
        cases.main()
    top = tempfile.mkdtemp(prefix="fused.", dir="/tmp")
    child = os.fork()
    if child != 0:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.rmdir(top)
        sys.exit(code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEWNS) != 0:
        sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
    run("mount", "--make-rprivate", "/")
    # No overlay stands on another's upper directory: on a tmpfs.
    run("mount", "-t", "tmpfs", "tmpfs", top)
    enter_root(top, debs)
    try:
        cases.main(failfast=True)
    finally:
        # A daemon that a failure has left.
        run("dpkg", "--purge", "fused", check=False)


if __name__ == "__main__":
    main()
