#!/usr/bin/env python3
"""The daemon as a service: under a supervisor, and as mount(8) starts it.

    service_test FUSED FUSEDCTL

In a mount namespace of its own, so that mount(8) finds the helper in /sbin and
the machine's /sbin stays what it is.
"""

import ctypes
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

NEWNS = 0x20000
POLICY = """
name: "%s" version: %d
rules { name: "all" operations: ANY effect { allow {} } }
"""
SECONDS = 20


def why_not():
    if os.geteuid() != 0:
        return "not root"
    return None if os.path.exists("/dev/fuse") else "no /dev/fuse"


def run(*command, check=True, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, text=True, **options
    )
    if check and done.returncode != 0:
        raise AssertionError("%s: %d\n%s" % (" ".join(command), done.returncode, done.stdout))
    return done


def mounted(path):
    """Returns the type of what is mounted at `path`, and its options."""
    with open("/proc/self/mountinfo", encoding="utf8") as table:
        for line in table:
            words = line.split()
            if words[4] == path:
                rest = words[words.index("-") + 1 :]
                return rest[0], words[5].split(",")
    return None, []


@unittest.skipIf(why_not(), why_not())
class ServiceCase(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="fused.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        for name in ("lower", "mnt", "lower2", "mnt2"):
            os.mkdir(self.path(name), 0o700)

    def path(self, name):
        return os.path.join(self.top, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf8") as out:
            out.write(text)
        return self.path(name)

    def flags(self, number=""):
        return {name: self.path(name + number) for name in ("state_dir", "control", "views_dir")}

    def ctl(self, *arguments, number="", check=True):
        return run(FUSEDCTL, "--control=" + self.path("control" + number), *arguments, check=check)

    def pid(self, number=""):
        return int(re.search(r'"pid": (\d+)', self.ctl("--json", "status", number=number).stdout).group(1))

    def await_end(self, pid):
        """The daemon is nobody's child here: by its descriptor."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            poller = select.poll()
            poller.register(descriptor, 1)
            ended = poller.poll(SECONDS * 1000)
            if not ended:
                os.kill(pid, signal.SIGKILL)
            self.assertTrue(ended, "the daemon has not ended")
        finally:
            os.close(descriptor)


class MountTest(ServiceCase):
    """mount(8) and umount(8)."""

    @classmethod
    def setUpClass(cls):
        if why_not():
            return
        cls.bin = tempfile.mkdtemp(prefix="fused.")
        shutil.copy(FUSED, os.path.join(cls.bin, "mount.fuse.fused"))
        run("mount", "-t", "overlay", "-o", "lowerdir=%s:/sbin" % cls.bin, "overlay", "/sbin")

    @classmethod
    def tearDownClass(cls):
        run("umount", "/sbin")
        shutil.rmtree(cls.bin)

    def tearDown(self):
        for name in ("mnt", "mnt2"):
            if mounted(self.path(name))[0]:
                run("umount", "-l", self.path(name), check=False)

    def options(self, *others, number=""):
        return ",".join(["%s=%s" % pair for pair in self.flags(number).items()] + list(others))

    def test_mount_serves_and_umount_ends_it(self):
        run("mount", "-t", "fuse.fused", "-o", self.options(), self.path("lower"), self.path("mnt"))
        self.assertEqual(mounted(self.path("mnt"))[0], "fuse.fused")
        self.assertIn("SERVING", self.ctl("status").stdout)
        os.mkdir(self.path("mnt/Download"))
        self.assertTrue(os.path.isdir(self.path("lower/Download")))
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)
        self.assertEqual(self.ctl("status", check=False).returncode, 3)
        # And again, with what the last one has left.
        run("mount", "-t", "fuse.fused", "-o", self.options(), self.path("lower"), self.path("mnt"))
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)

    def test_what_fstab_lines_carry(self):
        policy = self.write("policy", POLICY % ("fstab", 3))
        apps = self.write("apps", 'version: 7 apps { package: "a.b" uid: 10061 }')
        options = self.options(
            "ro,noexec,nofail,_netdev,x-systemd.requires=network.target,x-gvfs-hide,noauto,volume=card,"
            "profile=media,admin_uids=7\\,8,policy=%s,apps=%s" % (policy, apps)
        )
        fstab = self.write("fstab", "%s %s fuse.fused %s 0 0\n" % (self.path("lower"), self.path("mnt"), options))
        run("mount", "-T", fstab, self.path("mnt"))
        kind, flags = mounted(self.path("mnt"))
        self.assertEqual(kind, "fuse.fused")
        for flag in ("ro", "noexec", "nosuid", "nodev", "noatime"):
            self.assertIn(flag, flags)
        status = self.ctl("--json", "status").stdout
        for text in ('"name": "fstab"', '"name": "card"', '"version": "7"'):
            self.assertIn(text, status)
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)

    def test_the_settings_may_be_a_file(self):
        config = self.write(
            "config",
            "\n".join('%s: "%s"' % pair for pair in self.flags().items())
            + '\nvolumes { name: "filed" mount_options: "noexec" }',
        )
        run("mount", "-t", "fuse.fused", "-o", "config=" + config, self.path("lower"), self.path("mnt"))
        self.assertIn("filed", self.ctl("status").stdout)
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)

    def test_two_at_once(self):
        pids = []
        for number, name in (("", "mnt"), ("2", "mnt2")):
            run(
                "mount",
                "-t",
                "fuse.fused",
                "-o",
                self.options(number=number),
                self.path("lower" + number),
                self.path(name),
            )
            pids.append(self.pid(number))
        self.assertNotEqual(pids[0], pids[1])
        os.mkdir(self.path("mnt2/Download"))
        self.assertFalse(os.path.exists(self.path("mnt/Download")))
        run("umount", self.path("mnt"))
        self.await_end(pids[0])
        self.assertTrue(os.path.isdir(self.path("mnt2/Download")))
        run("umount", self.path("mnt2"))
        self.await_end(pids[1])

    def test_mount_s_own_flags(self):
        where = self.path("lower"), self.path("mnt")
        run("mount", "-f", "-t", "fuse.fused", "-o", self.options(), *where)
        self.assertIsNone(mounted(self.path("mnt"))[0])
        # As mount(8) hands it over where it is asked by hand.
        run("/sbin/mount.fuse.fused", *where, "-f", "-o", self.options())
        self.assertIsNone(mounted(self.path("mnt"))[0])
        run("mount", "-n", "-v", "-s", "-t", "fuse.fused", "-o", self.options(), *where)
        self.assertEqual(mounted(self.path("mnt"))[0], "fuse.fused")
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)

    def test_exit_status(self):
        def status(*arguments, options=None, program=("mount", "-t", "fuse.fused")):
            return run(*program, "-o", options or self.options(), *arguments, check=False).returncode

        where = self.path("lower"), self.path("mnt")
        # mount(8)'s: 1 wrong usage, 32 the mount failed.
        self.assertEqual(status(*where, options=self.options("wrong")), 1)
        self.assertEqual(status(self.path("none"), self.path("mnt")), 32)
        bad = self.write("policy", "rules {")
        self.assertEqual(status(*where, options=self.options("policy=" + bad)), 32)
        self.assertEqual(status(*where), 0)
        # In use: the mount point, the socket, the state directory.
        self.assertEqual(status(self.path("lower2"), self.path("mnt2")), 32)
        pid = self.pid()
        run("umount", self.path("mnt"))
        self.await_end(pid)


class SupervisedTest(ServiceCase):
    """sd_notify(3) and SIGHUP."""

    def setUp(self):
        super().setUp()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path("notify"))
        self.socket.settimeout(SECONDS)
        self.addCleanup(self.socket.close)
        self.daemon = None

    def tearDown(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        for name in ("mnt", "disk"):
            if mounted(self.path(name))[0]:
                run("umount", "-l", self.path(name))

    def start(self, *flags, lower="lower", watchdog=None):
        environment = dict(os.environ, NOTIFY_SOCKET=self.path("notify"))
        if watchdog is not None:
            environment["WATCHDOG_USEC"] = str(watchdog)
        command = [FUSED] + ["--%s=%s" % pair for pair in self.flags().items()] + list(flags)
        self.daemon = subprocess.Popen(command + [self.path(lower), self.path("mnt")], env=environment)
        self.await_told("READY=1")

    def await_told(self, *texts):
        """Returns the messages up to the one that has them all."""
        told = []
        while True:
            told.append(self.socket.recv(4096).decode())
            if all(text in told[-1] for text in texts):
                return told

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.await_told("STOPPING=1")
        self.assertEqual(self.daemon.wait(SECONDS), 0)

    def test_reload(self):
        policy = self.write("policy", POLICY % ("first", 1))
        self.start("--policy=" + policy)
        self.write("policy", POLICY % ("second", 2))
        self.daemon.send_signal(signal.SIGHUP)
        told = self.await_told("RELOADING=1")[-1]
        self.assertRegex(told, r"MONOTONIC_USEC=\d+")
        self.await_told("READY=1", "policy second version 2")
        self.assertIn('"name": "second"', self.ctl("--json", "status").stdout)
        # What is refused changes nothing, and is said.
        self.write("policy", "rules {")
        self.daemon.send_signal(signal.SIGHUP)
        self.await_told("RELOADING=1")
        self.await_told("READY=1", "refused")
        self.assertIn('"name": "second"', self.ctl("--json", "status").stdout)
        os.unlink(self.path("policy"))
        self.daemon.send_signal(signal.SIGHUP)
        self.await_told("READY=1", "refused")
        self.stop()

    def test_reload_by_command(self):
        config = self.write("config", "")
        self.start("--config=" + config)
        self.assertEqual(self.ctl("reload").stdout, "no files are configured\n")
        # What the file says now counts, and each file by itself.
        policy = self.write("policy", POLICY % ("named", 3))
        apps = self.write("apps", 'version: 7 apps { package: "a.b" uid: 10061 }')
        self.write("config", 'policy: "%s" apps: "%s"' % (policy, apps))
        told = self.ctl("reload").stdout
        self.assertRegex(told, r"(?s)policy: ACK version 3 .*apps: ACK version 7 ")
        self.write("apps", "version: 7")
        refused = self.ctl("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stdout, r"(?s)policy: ACK .*\(unchanged\).*apps: NACK version 7 ")
        os.unlink(policy)
        refused = self.ctl("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(policy + ":", refused.stdout)
        self.assertIn("policy: NACK version 3 ", refused.stdout)
        self.write("config", "nonsense: 1")
        refused = self.ctl("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(config + ":1:", refused.stdout)
        recorded = self.ctl("audit", "--kind=PUSH").stdout
        self.assertIn("reload refused", recorded)
        self.assertIn("POLICY accepted, version 3", recorded)
        self.stop()

    def test_the_status_follows_a_push(self):
        self.start()
        self.ctl("push", self.write("pushed", POLICY % ("pushed", 5)))
        self.await_told("STATUS=policy pushed version 5")
        self.stop()

    def attributes_asked(self):
        status = self.ctl("--json", "status").stdout
        return sum(int(n) for n in re.findall(r'"(?:GETATTR|STATX)": "(\d+)"', status))

    def test_each_sign_of_life_is_a_request_through_the_mount(self):
        self.start(watchdog=300_000)
        asked = self.attributes_asked()
        for _ in range(5):
            self.await_told("WATCHDOG=1")
        self.assertGreaterEqual(self.attributes_asked(), asked + 4)
        # A daemon that is stopped gives none.
        self.daemon.send_signal(signal.SIGSTOP)
        self.socket.settimeout(1)
        with self.assertRaises(socket.timeout):
            for _ in range(20):
                self.socket.recv(4096)
        self.socket.settimeout(SECONDS)
        self.daemon.send_signal(signal.SIGCONT)
        self.await_told("WATCHDOG=1")
        self.stop()

    def test_a_request_that_the_lower_file_system_keeps_is_not_death(self):
        image = self.write("image", "")
        os.truncate(image, 16 << 20)
        run("mkfs.ext4", "-q", image)
        os.mkdir(self.path("disk"))
        run("mount", "-o", "loop", image, self.path("disk"))
        os.mkdir(self.path("disk/lower"), 0o700)
        self.start("--threads=1", lower="disk/lower", watchdog=600_000)
        run("fsfreeze", "-f", self.path("disk"))
        try:
            waiting = subprocess.Popen(["mkdir", self.path("mnt/Download")])
            for _ in range(5):
                self.await_told("WATCHDOG=1")
            self.assertIsNone(waiting.poll())
        finally:
            run("fsfreeze", "-u", self.path("disk"))
        self.assertEqual(waiting.wait(SECONDS), 0)
        self.stop()

    def test_it_ends_with_its_mount(self):
        self.start(watchdog=600_000)
        self.await_told("WATCHDOG=1")
        run("umount", self.path("mnt"))
        self.await_told("STOPPING=1")
        self.assertEqual(self.daemon.wait(SECONDS), 0)

    def test_an_aborted_connection_is_a_failure(self):
        self.start()
        device = os.stat(self.path("mnt")).st_dev
        abort = "/sys/fs/fuse/connections/%d/abort" % os.minor(device)
        if not os.path.exists(abort):
            run("mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections")
        with open(abort, "w", encoding="utf8") as out:
            out.write("1")
        self.assertEqual(self.daemon.wait(SECONDS), 70)
        self.assertIsNone(mounted(self.path("mnt"))[0])


if __name__ == "__main__":
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"
    FUSEDCTL = os.path.abspath(sys.argv.pop(2))
    FUSED = os.path.abspath(sys.argv.pop(1))
    if not why_not():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEWNS) != 0:
            sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    cases.main()
