#!/usr/bin/env python3
"""The package on a machine that is not as it has left it.

    leftovers_test FUSED.deb NEXT.deb AGAIN.deb

On the machine of install_test: daemons that do not answer or are not the
service's, mounts of dead ones, directories and groups of others.
"""

import os
import re
import select
import signal
import stat
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree

import install_test
from install_test import LOWER, MOUNT, mounted, run, why_not

INIT = "/etc/init.d/fused"
CONFIG = "/etc/fused/fused.textproto"
OTHER = "/run/other.sock"
VIEW = "/run/fused/views/0/org.example.camera/storage"


def write(path, text):
    with open(path, "w", encoding="utf8") as out:
        out.write(text)


def read(path):
    with open(path, encoding="utf8") as content:
        return content.read()


def dpkg(*arguments, **options):
    # Of others' triggers (indices of manual pages) install_test has enough.
    return run("dpkg", "--no-triggers", *arguments, **options)


def owner_and_mode(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@unittest.skipIf(why_not(), why_not())
class LeftoversTest(unittest.TestCase):
    def setUp(self):
        dpkg("--install", "/tmp/fused.deb")
        self.addCleanup(dpkg, "--purge", "fused", check=False)
        # First: what stands in the way of the end.
        self.daemons = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()
        for line in read("/proc/self/mounts").splitlines():
            if line.split()[2] == "fuse.fused":
                run("umount", "-l", line.split()[1])

    def pid(self):
        return int(re.search(r"pid (\d+)", run(INIT, "status").stdout)[1])

    def await_end(self, descriptor):
        self.assertTrue(select.select([descriptor], [], [], 20)[0], "the daemon has not ended")
        os.close(descriptor)

    def start_other(self):
        """A daemon that is not the service's, with its default places but for the socket."""
        run(INIT, "stop")
        daemon = subprocess.Popen(["fused", "--control=" + OTHER, LOWER, MOUNT], stderr=subprocess.DEVNULL)
        self.daemons.append(daemon)
        ctl = ("fusedctl", "--control=" + OTHER)
        run(*ctl, "wait")
        write("/tmp/apps.textproto", install_test.APPS)
        run(*ctl, "apps", "/tmp/apps.textproto")
        self.assertEqual(run(*ctl, "view", "--package=org.example.camera").stdout.strip(), VIEW)
        run(*ctl, "run", "--package=org.example.camera", "--", "sh", "-c",
            "mkdir -p %s/DCIM/d && echo hello > %s/DCIM/d/a.jpg" % (MOUNT, MOUNT))
        self.assertEqual(read(VIEW + "/DCIM/d/a.jpg"), "hello\n")
        return daemon

    def test_the_init_script_serves_another_socket(self):
        config = read(CONFIG)
        run(INIT, "stop")
        write(CONFIG, config.replace("/run/fused/control.sock", OTHER))
        run(INIT, "start")
        first = self.pid()
        self.assertEqual(run(INIT, "start").returncode, 0)
        self.assertEqual(self.pid(), first)
        write("/etc/fused/apps.textproto", install_test.APPS)
        write(CONFIG, read(CONFIG) + 'apps: "/etc/fused/apps.textproto"\n')
        run(INIT, "reload")
        self.assertIn('"count": "1"', run("fusedctl", "--control=" + OTHER, "--json", "status").stdout)
        write("/etc/fused/apps.textproto", "version: 1")
        self.assertNotEqual(run(INIT, "reload", check=False).returncode, 0)
        write(CONFIG, config.replace("/run/fused/control.sock", OTHER))
        os.unlink("/etc/fused/apps.textproto")
        run(INIT, "restart")
        self.assertNotEqual(self.pid(), first)
        run(INIT, "stop")
        self.assertFalse(mounted())
        self.assertEqual(run(INIT, "status", check=False).returncode, 3)
        # Flags are looked at as the configuration is.
        write("/etc/default/fused", 'FUSED_FLAGS="--threads=100000"\n')
        refused = run(INIT, "restart", check=False)
        os.unlink("/etc/default/fused")
        self.assertEqual(refused.returncode, 6)
        self.assertIn("--threads", refused.stdout)

    def test_the_init_script_ends_what_does_not_answer(self):
        pid = self.pid()
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGSTOP)
        write("/etc/default/fused", "PATIENCE=1\n")
        self.addCleanup(os.unlink, "/etc/default/fused")
        self.assertEqual(self.pid(), pid)
        run(INIT, "stop")
        self.await_end(descriptor)
        self.assertFalse(mounted())
        self.assertEqual(run(INIT, "status", check=False).returncode, 3)

    def test_a_removal_waits_for_a_daemon_of_mount(self):
        run(INIT, "stop")
        run("mount", "-t", "fuse.fused", LOWER, MOUNT)
        descriptor = os.pidfd_open(install_test.daemon_pid())
        refused = dpkg("--remove", "fused", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("unmount what it serves", refused.stdout)
        self.assertTrue(mounted())
        run("umount", MOUNT)
        self.await_end(descriptor)
        dpkg("--remove", "fused")

    def test_a_purge_removes_nothing_through_a_view(self):
        daemon = self.start_other()
        dpkg("--purge", "fused")
        self.assertIsNone(daemon.poll())
        self.assertEqual(read(LOWER + "/DCIM/d/a.jpg"), "hello\n")
        self.assertFalse(os.path.exists("/run/fused"))
        self.assertFalse(os.path.exists("/var/lib/fused"))

    def test_a_purge_over_a_dead_view(self):
        daemon = self.start_other()
        daemon.kill()
        daemon.wait()
        dpkg("--purge", "fused")
        self.assertFalse(os.path.exists("/run/fused"))
        self.assertEqual(read(LOWER + "/DCIM/d/a.jpg"), "hello\n")

    def test_an_upgrade_over_a_dead_mount(self):
        pid = self.pid()
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        self.await_end(descriptor)
        self.assertFalse(os.path.exists(MOUNT))  # ENOTCONN
        dpkg("--install", "/tmp/next.deb")
        self.assertIn("fuse.fused", run("findmnt", "-n", "-o", "FSTYPE", MOUNT).stdout)
        self.assertTrue(os.path.exists(MOUNT))
        self.assertNotEqual(self.pid(), pid)

    def test_tmpfiles_leave_what_is_there(self):
        run(INIT, "stop")
        os.chmod(LOWER, 0o750)
        os.chown(LOWER, 1000, 1000)
        os.chmod(MOUNT, 0o755)
        run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/fused.conf")
        self.assertEqual(owner_and_mode(LOWER), (1000, 1000, 0o750))
        self.assertEqual(owner_and_mode(MOUNT), (0, 0, 0o755))
        run("rm", "-rf", LOWER, MOUNT)
        run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/fused.conf")
        self.assertEqual(owner_and_mode(LOWER), (0, 1023, 0o700))
        self.assertEqual(owner_and_mode(MOUNT), (0, 0, 0))

    def test_a_purge_leaves_the_group_of_others(self):
        def group_after_a_purge():
            dpkg("--install", "/tmp/fused.deb")
            self.assertIn(":1023:", run("getent", "group", "media_rw").stdout)
            dpkg("--purge", "fused")
            self.assertFalse(os.path.exists(LOWER))
            return run("getent", "group", "media_rw", check=False).returncode == 0

        dpkg("--purge", "fused")
        run("rm", "-rf", LOWER)
        run("delgroup", "--quiet", "media_rw", check=False)
        self.assertFalse(group_after_a_purge())
        run("addgroup", "--quiet", "--system", "--gid", "1023", "media_rw")
        self.assertTrue(group_after_a_purge())
        run("delgroup", "--quiet", "media_rw")


if __name__ == "__main__":
    install_test.main()
