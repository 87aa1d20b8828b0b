"""Where the processor's time goes: each work is sampled by perf(1), with all that
runs on the machine, and the samples are told apart by who had the processor and,
in the kernel, by the system call that he was in."""

import os
import re
import shutil
import subprocess

from lab import Failed, run
from measure import Run
from report import number

# A second; perf takes its samples by a timer, which every machine has.
FREQUENCY = 9999
# Of what is not served for an answer: it comes when the machine has time.
BEHIND = ("fused-watch", "fused-inval", "fused")
# What a request comes by and its answer goes by.
CARRYING = ("sched_yield", "io_uring_enter", "read", "readv", "write", "writev", "epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "ppoll", "splice", "futex")
IDLE, NOBODY = "idle", "nobody"
_SAMPLE = re.compile(r"^(.*?)\s+(-?\d+)/(-?\d+)\s*$")
_FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \(([^()]*(?:\([^()]*\))?[^()]*)\)$")
_ENTRY = re.compile(r"^__(?:x64|arm64|ia32)_sys_(\w+)$|^__do_sys_(\w+)$")


def parse(text):
    """Yields (comm, pid, tid, [(symbol, object), ...]), innermost first, of what
    `perf script -F comm,pid,tid,ip,sym,dso` prints."""
    head, frames = None, []
    for line in text.splitlines():
        frame = _FRAME.match(line)
        if frame and head:
            frames.append((frame.group(1).split("+0x")[0], frame.group(2)))
            continue
        if head and not line.strip():
            yield (*head, frames)
            head, frames = None, []
            continue
        sample = _SAMPLE.match(line)
        if sample:
            if head:
                yield (*head, frames)
            head, frames = (sample.group(1).strip(), int(sample.group(2)), int(sample.group(3))), []
    if head:
        yield (*head, frames)


# libc's functions that do nothing but enter the kernel: what a sample there is of
# is the way in and out.
_STUBS = {
    "fstatat": "newfstatat",
    "open": "openat",
    "renameat": "renameat",
    "sched_yield": "sched_yield",
    "pread": "pread64",
    "pwrite": "pwrite64",
}
_STUBS.update(
    {
        name: name
        for name in CARRYING
        + ("openat", "unlinkat", "mkdirat", "close", "ioctl", "fsetxattr", "name_to_handle_at", "setfsuid", "setfsgid", "umask", "syscall")
    }
)


def stub_of(symbol, where=""):
    """The system call that a function of libc's, or of liburing's, is for; None:
    it is another. `where`: the object it is in."""
    # It has no symbols, and nothing else of it takes time. (Where a ring is used,
    # it is for requests.)
    if os.path.basename(where).startswith("liburing."):
        return "io_uring_enter"
    return _STUBS.get(re.sub(r"^(__GI___|__GI_|__libc_|__)|64$", "", re.sub(r"64$", "", symbol)))


def _in_kernel(frame):
    return frame[1].startswith("[") and frame[1] != "[vdso]" and frame[1] != "[unknown]"


def system_call(frames):
    """The name of the one that the sample is in; "" where it is in none."""
    for symbol, _ in reversed(frames):
        entry = _ENTRY.match(symbol)
        if entry:
            return entry.group(1) or entry.group(2)
    return ""


class Shares:
    """What the samples of a work are of, counted."""

    def __init__(self):
        self.counts = {}
        self.functions = {}
        self.ops = 0

    def add(self, samples, daemon, others):
        """`others` had the processor for themselves: the bench's own."""
        for comm, pid, _, frames in samples:
            if pid == 0 or comm.startswith("swapper"):
                what = (IDLE, "")
            elif pid in others or comm == "perf":
                what = (NOBODY, "")
            elif pid == daemon:
                what = self._of_daemon(comm, frames)
            elif re.match(r"(kworker|ksoftirqd|kcompactd|rcu|migration|kdamond)", comm):
                what = ("kernel threads", "")
            else:
                what = ("client", "")
            self.counts[what] = self.counts.get(what, 0) + 1

    def _of_daemon(self, comm, frames):
        if comm in BEHIND:
            return ("behind", "")
        if not frames or not _in_kernel(frames[0]):
            call = stub_of(*frames[0]) if frames else None
            if call is None:
                if frames:
                    self.functions[frames[0][0]] = self.functions.get(frames[0][0], 0) + 1
                return ("code", "")
        else:
            call = system_call(frames)
        return ("carrying", call) if call in CARRYING or not call else ("calls", call)

    def micros(self):
        """By what, microseconds of an operation; and all together."""
        each = 1e6 / FREQUENCY / self.ops if self.ops else 0
        left = {what: count * each for what, count in self.counts.items() if what[0] not in (IDLE, NOBODY)}
        return left, sum(left.values())

    def dearest(self, most=3):
        """The daemon's functions that had most samples, with their part of all."""
        total = sum(count for what, count in self.counts.items() if what[0] not in (IDLE, NOBODY))
        ordered = sorted(self.functions.items(), key=lambda one: -one[1])[:most]
        return [(name, count / total) for name, count in ordered] if total else []


class Perf:
    """Samples the whole machine from start() to stop()."""

    def __init__(self, place):
        if shutil.which("perf") is None:
            raise Failed("--where needs perf(1) (Debian: linux-perf)")
        self._data = os.path.join(place, "perf.data")

    def start(self):
        to_read, self._control = os.pipe()
        self._answer, to_write = os.pipe()
        command = ["perf", "record", "-q", "-a", "-g", "-e", "cpu-clock", "-F", str(FREQUENCY), "-D", "-1"]
        command += ["--control=fd:%d,%d" % (to_read, to_write), "-o", self._data]
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(to_read, to_write)
        )
        os.close(to_read)
        os.close(to_write)
        self._tell("enable")

    def _tell(self, word):
        os.write(self._control, word.encode() + b"\n")
        if not os.read(self._answer, 16).startswith(b"ack"):
            raise Failed("perf: " + self._child.stderr.read().decode().strip()[-300:])

    def stop(self):
        """Returns the samples."""
        self._tell("stop")
        os.close(self._control)
        os.close(self._answer)
        self._child.stderr.close()
        self._child.wait()
        text = run("perf", "script", "-i", self._data, "-F", "comm,pid,tid,ip,sym,dso", "--max-stack", "64")
        os.unlink(self._data)
        return parse(text)


class Where(Run):
    """As a Run, of which every sample is looked at."""

    def __init__(self, options, lab, groups, systems):
        super().__init__(options, lab, groups, systems)
        self._perf = Perf(lab.top)
        self.shares = {}

    def _has_enough(self, work, system):
        return False

    def _time(self, work, system, number):
        self._warm(work, system, False)
        self._perf.start()
        sample = None
        try:
            sample = self._ask(work, system, work.count, self._options.millis)
        finally:
            samples = self._perf.stop()
        shares = self.shares.setdefault(work.name, {}).setdefault(system.name, Shares())
        shares.ops += sample["ops"]
        shares.add(samples, system.pid or -1, {os.getpid()})


def _cell(micros, total, scale):
    return "%s <sub>%.0f %%</sub>" % (number(micros / scale), 100 * micros / total) if micros else "–"


def markdown(machine, groups, systems, where):
    """A table for each work."""
    labels = {system.name: system.label for system in systems}
    lines = [
        "# Where the processor's time goes",
        "",
        "%s, %d processors, Linux %s. Sampled by `./bazelw run //androidtest/bench -- --where`:"
        % (machine["cpu"], machine["cpus"], machine["kernel"]),
        "processor time of each operation, and its part of all (sampling itself makes it more).",
        "**Carrying** is",
        "what requests come by and answers go by, with the switches between client and",
        "daemon; **system calls** are the daemon's others, on the lower file system and for",
        "backing ids; **code** is the daemon's own, outside the kernel; **behind** is what",
        "the daemon does besides (the watch on the lower tree, the media index).",
        "",
    ]
    for group in groups:
        for work in (work for chain in group.chains for work in chain):
            shares = where.shares.get(work.name, {})
            if not shares:
                continue
            lines += ["## " + work.label, ""]
            scale = 1e3 if work.unit == "ms" else 1
            lines += ["| system | requests | " + work.unit + " | client | carrying | system calls | code | behind |", "|" + "---|" * 8]
            told = []
            for name, one in ((system.name, shares[system.name]) for system in systems if system.name in shares):
                micros, total = one.micros()
                by = {}
                for (what, _), value in micros.items():
                    by[what] = by.get(what, 0) + value
                calls = sorted(((value, call) for (what, call), value in micros.items() if what == "calls"), reverse=True)
                requests = where.requests.get(work.name, {}).get(name)
                lines.append(
                    "| %s | %s | %s | %s |"
                    % (
                        labels[name],
                        number(requests["per_op"]) if requests else "–",
                        number(total / scale),
                        " | ".join(_cell(by.get(what, 0), total, scale) for what in ("client", "carrying", "calls", "code", "behind")),
                    )
                )
                if calls or one.dearest():
                    told.append(
                        "- %s: %s; code: %s"
                        % (
                            labels[name],
                            ", ".join("%s %s" % (call, number(value / scale)) for value, call in calls[:6]) or "no other system call",
                            ", ".join("`%s` %.1f %%" % (function, 100 * part) for function, part in one.dearest()) or "none",
                        )
                    )
            lines += [""] + told + [""]
    return "\n".join(lines)
