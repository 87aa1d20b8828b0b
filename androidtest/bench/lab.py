"""The ground that systems are measured on: a mount namespace of its own, a
directory of which nothing is left, clients, and the kernel's count of requests."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile

_MNT_DETACH = 2
_CLONE_NEWNS = 0x20000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

ANSWER_SECONDS = 600


class Failed(Exception):
    """Something that the reader should see, without a stack."""


class NotOffered(Exception):
    """A system that is not to be had here, and why."""


def own_mounts():
    """Leaves the machine's mount namespace: whatever happens, nothing of ours
    stays mounted."""
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise Failed("unshare: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def die_with_parent():
    """For preexec_fn."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def detach(path):
    _libc.umount2(os.fsencode(path), _MNT_DETACH)


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf8") as table:
        return any(line.split()[4] == path for line in table)


def file_system(path):
    return run("findmnt", "-n", "-o", "FSTYPE", "-T", path).strip()


def read_text(path):
    with open(path, encoding="utf8") as text:
        return text.read()


def run(*command, **options):
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if done.returncode != 0:
        raise Failed("%s: %s" % (" ".join(command), done.stdout.strip()[-500:]))
    return done.stdout


class Client:
    """A ruler that waits for lines, where `prefix` starts it."""

    def __init__(self, lab, prefix=()):
        self._log = os.path.join(lab.top, "clients.log")
        with open(self._log, "ab") as log:
            self._child = subprocess.Popen(
                [*prefix, lab.ruler],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                preexec_fn=die_with_parent,
            )
        self._rest = b""

    def complaint(self):
        """What was said last on standard error, of all clients'."""
        with open(self._log, encoding="utf8", errors="replace") as log:
            return (log.read().strip().splitlines() or ["the command failed"])[-1]

    def send(self, work, arguments=(), **fields):
        line = [work] + ["%s=%s" % field for field in fields.items()]
        if arguments:
            line += ["--", *arguments]
        self._write("\t".join(line))

    def _write(self, line):
        try:
            self._child.stdin.write(line.encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # receive() says why

    def receive(self):
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._child.stdout], [], [], ANSWER_SECONDS)
            got = os.read(self._child.stdout.fileno(), 65536) if ready else b""
            if not got:
                self._child.kill()
                raise Failed("a client ended, or gave no answer: " + self.complaint())
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, work, arguments=(), **fields):
        self.send(work, arguments, **fields)
        return self.receive()

    def device(self, path):
        self._write("device\t" + path)
        return self.receive()["device"]

    def exchange(self, millis):
        """What it takes at least to ask another process (exchange.h)."""
        self._write("exchange\t%d" % millis)
        return self.receive()

    def hold(self, path, begin, end):
        """Opens more files of a set, and keeps them open."""
        self._write("hold\t%s\t%d\t%d" % (path, begin, end))
        self.receive()

    def close(self):
        if self._child.poll() is None:
            self._child.stdin.close()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child.stdout.close()


class Tracer:
    """Counts the requests that the kernel sends on one connection, by the
    tracepoint fuse:fuse_request_send. Forgets have none."""

    def __init__(self, top):
        self.why_not = None
        self._instance = None
        place = os.path.join(top, "tracefs")
        try:
            os.mkdir(place)
            run("mount", "-t", "tracefs", "nodev", place)
            instance = os.path.join(place, "instances", "fused_bench_%d" % os.getpid())
            os.mkdir(instance)
            self._instance = instance
            self._event = os.path.join(instance, "events/fuse/fuse_request_send")
            if not os.path.isdir(self._event):
                raise OSError("no event fuse:fuse_request_send")
        except (Failed, OSError) as failure:
            self.close()
            self.why_not = str(failure)

    def close(self):
        if self._instance:
            os.rmdir(self._instance)
            self._instance = None

    def _set(self, path, value):
        with open(path, "w", encoding="utf8") as out:
            out.write(value)

    def start(self, device):
        self._set(os.path.join(self._event, "filter"), "connection == %d" % device)
        self._set(os.path.join(self._instance, "trace"), "")
        self._set(os.path.join(self._event, "enable"), "1")

    def stop(self):
        """Returns how many there were, and by opcode as far as is known."""
        self._set(os.path.join(self._event, "enable"), "0")
        total = lost = 0
        cpus = os.path.join(self._instance, "per_cpu")
        for cpu in os.listdir(cpus):
            stats = read_text(os.path.join(cpus, cpu, "stats"))
            entries, overrun, dropped = (
                int(re.search(name + r": (\d+)", stats).group(1)) for name in ("entries", "overrun", "dropped events")
            )
            total += entries + overrun + dropped
            lost += overrun + dropped
        opcodes = {}
        if lost == 0:
            for name in re.findall(r"\(FUSE_(\w+)\)", read_text(os.path.join(self._instance, "trace"))):
                opcodes[name] = opcodes.get(name, 0) + 1
        return total, opcodes


class Lab:
    """As a context: a directory, open to all, and what has to be put back."""

    def __init__(self, ruler, place=None):
        self._ruler = ruler
        self._place = place
        self._uring = "/sys/module/fuse/parameters/enable_uring"
        self._uring_was = None

    def __enter__(self):
        own_mounts()
        self.top = tempfile.mkdtemp(prefix="fused-bench-", dir=self._place)
        os.chmod(self.top, 0o755)
        self.ruler = self.copy(self._ruler)
        self.tracer = Tracer(self.top)
        return self

    def __exit__(self, *exception):
        self.tracer.close()
        if self._uring_was is not None:
            with open(self._uring, "w", encoding="utf8") as out:
                out.write(self._uring_was)
        with open("/proc/self/mountinfo", encoding="utf8") as table:
            ours = [line.split()[4] for line in table]
        for path in reversed([path for path in ours if path.startswith(self.top + "/")]):
            detach(path)
        shutil.rmtree(self.top)

    def copy(self, program):
        """Returns where a copy of it is. Apps cannot look into the directory that
        it was built in, and another build may come before the end."""
        path = os.path.join(self.top, "bin", os.path.basename(program))
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(program, path)
            os.chmod(path, 0o755)
        return path

    def want_uring(self):
        """Lets the kernel offer FUSE over io_uring until the end."""
        try:
            was = read_text(self._uring).strip()
            if was != "Y":
                with open(self._uring, "w", encoding="utf8") as out:
                    out.write("Y")
                self._uring_was = self._uring_was or was
        except OSError as failure:
            raise NotOffered("the fuse module's enable_uring: %s" % failure.strerror) from failure

    def ground(self, name):
        """Returns a directory for what is on a disk or on tmpfs."""
        path = os.path.join(self.top, name)
        os.mkdir(path)
        return path

    def home(self, ground, name):
        """Returns a directory there. On tmpfs it is a file system of its own: a
        daemon that is told of all changes in its own is not told of others'."""
        path = os.path.join(ground, name)
        os.mkdir(path)
        if os.path.basename(ground) == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", "size=75%,nr_inodes=0,mode=755", "bench", path)
        return path
