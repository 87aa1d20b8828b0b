"""A daemon of its own with a tree of its own, of which nothing is left."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something that the reader should see, without a stack."""


def _mounts():
    """Returns (mount point, file system) of every mount."""
    with open("/proc/self/mountinfo") as table:
        for line in table:
            fields = line.split()
            path = fields[4].encode().decode("unicode_escape")
            yield path, fields[fields.index("-") + 1]


def _file_system(path):
    path = os.path.realpath(path) + "/"
    below = [m for m in _mounts() if path.startswith(m[0].rstrip("/") + "/")]
    return max(below, key=lambda m: len(m[0]), default=("", ""))[1]


def _roomy(need):
    """Returns a directory for temporary files that the kernel can pass
    through to: an overlay stands on another file system already."""
    for path in (tempfile.gettempdir(), "/var/tmp", "/dev/shm"):
        if os.path.isdir(path) and _file_system(path) != "overlay":
            if shutil.disk_usage(path).free > need:
                return path
    return tempfile.gettempdir()


class Lab:
    """As a context: the directories, then Start() and Stop() of the daemon."""

    def __init__(self, fused, fusedctl, need):
        self._fused, self._fusedctl = fused, fusedctl
        self._need = need
        self._daemon = None
        self._children = []
        self.top = None

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix="fused-demo-", dir=_roomy(self._need))
        os.chmod(self.top, 0o711)
        self.lower = os.path.join(self.top, "lower")
        self.mount = os.path.join(self.top, "storage")
        os.mkdir(self.lower, 0o700)
        os.mkdir(self.mount)
        return self

    def __exit__(self, *exception):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in self._children:
            if child.poll() is None:
                child.kill()
                child.wait()
        try:
            self.stop()
        except Failed as failure:
            if exception[0] is None:
                raise
            print(failure)
        finally:
            self._remove()

    def _below(self):
        return [m for m, _ in _mounts() if m.startswith(self.top + "/")]

    def _remove(self):
        for path in reversed(self._below()):
            _libc.umount2(os.fsencode(path), _MNT_DETACH)
        if self._below():
            raise Failed("still mounted: " + " ".join(self._below()))
        shutil.rmtree(self.top)

    def start(self, *flags):
        """Starts the daemon and waits until it serves."""
        self._log = os.path.join(self.top, "fused.log")
        with open(self._log, "ab") as log:
            self._daemon = subprocess.Popen(
                [self._fused, *flags]
                + ["--control=" + self._socket()]
                + ["--state_dir=" + os.path.join(self.top, "state")]
                + ["--views_dir=" + os.path.join(self.top, "views")]
                + [self.lower, self.mount],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 20
        while self._ctl("wait", "--timeout=1s").returncode != 0:
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise Failed("the daemon does not serve:\n" + self._tail())

    def stop(self):
        """Ends the daemon; it has to unmount and to exit with 0."""
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.terminate()
        try:
            code = daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise Failed("the daemon did not end within 10 s:\n" + self._tail())
        if code != 0:
            raise Failed("the daemon ended with %d:\n%s" % (code, self._tail()))
        if self._below():
            raise Failed("the daemon left mounted: " + " ".join(self._below()))

    def _socket(self):
        return os.path.join(self.top, "control.sock")

    def _tail(self):
        with open(self._log, errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def _ctl(self, *arguments):
        return subprocess.run(
            [self._fusedctl, "--control=" + self._socket(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments):
        """Runs `fusedctl --json ARGUMENTS`; returns what it says.

        Its exit code 1 is an answer: refused.
        """
        done = self._ctl("--json", *arguments)
        if done.returncode not in (0, 1) or not done.stdout.strip():
            raise Failed("fusedctl %s: %s" % (" ".join(arguments), done.stderr.strip()))
        return json.loads(done.stdout)

    def run(self, package, *command, text=True):
        """Starts a command as an app; its standard streams are pipes."""
        child = subprocess.Popen(
            [self._fusedctl, "--control=" + self._socket()]
            + ["run", "--package=" + package, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=text,
            cwd="/",
        )
        self._children.append(child)
        return child
