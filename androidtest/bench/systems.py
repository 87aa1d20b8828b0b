"""What is measured: the native file system, and what stands in front of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from lab import Client, Failed, NotOffered, detach, die_with_parent, is_mounted, read_text, run

PACKAGE, UID = "com.bench.files", 10100
# Where the works are: a directory that takes files of every type.
PLACE = "Download"
START_SECONDS = 30


class System:
    """One row of results. `ground` is where its lower tree is."""

    symlinks = True
    profile = None

    def __init__(self, name, label):
        self.name, self.label = name, label
        self.lab = None
        self.pid = 0
        self._clients = []
        self._device = None
        self._rss = self._descriptors = 0

    def version(self):
        """Raises NotOffered where it is not to be had."""
        return None

    def prepare(self, lab, ground):
        """Makes the lower tree's directories; returns where works are in it."""
        self.lab = lab
        self.home = lab.home(ground, self.name)
        self.lower = os.path.join(self.home, "lower")
        self.mount = os.path.join(self.home, "mnt")
        for path in (os.path.join(self.lower, PLACE), self.mount):
            os.makedirs(path)
        return os.path.join(self.lower, PLACE)

    def start(self):
        pass

    def stop(self):
        for client in self._clients:
            client.close()
        self._clients = []
        self._device = None

    def remove(self):
        if is_mounted(self.home):
            detach(self.home)
        shutil.rmtree(self.home)

    @property
    def place(self):
        """Where clients find the works' files."""
        return os.path.join(self.mount, PLACE)

    def _prefix(self, number):
        del number
        return ()

    def client(self, number=0):
        """A client; with another number another app, where there are apps."""
        while len(self._clients) <= number:
            self._clients.append(Client(self.lab, self._prefix(len(self._clients))))
        return self._clients[number]

    def device(self):
        if self._device is None:
            self._device = self.client().device(self.place)
        return self._device

    def requests(self):
        """What the daemon says how many requests there were; None: it does not."""
        return None

    def transport(self):
        return None

    def look(self):
        """Remembers the daemon's memory and descriptors at their most."""
        if not self.pid:
            return
        try:
            status = read_text("/proc/%d/status" % self.pid)
            self._rss = max(self._rss, int(re.search(r"VmRSS:\s*(\d+)", status).group(1)))
            self._descriptors = max(self._descriptors, len(os.listdir("/proc/%d/fd" % self.pid)))
        except (OSError, AttributeError) as failure:
            raise Failed("%s: the daemon has ended: %s" % (self.name, self.log())) from failure

    def most(self):
        return {"rss_kib": self._rss, "descriptors": self._descriptors} if self._rss else None

    def log(self):
        return ""


class Native(System):
    @property
    def place(self):
        return os.path.join(self.lower, PLACE)


class Bind(System):
    def start(self):
        run("mount", "--bind", self.lower, self.mount)

    def stop(self):
        super().stop()
        detach(self.mount)


class Served(System):
    """By a daemon, which stays in the foreground."""

    def _command(self):
        raise NotImplementedError

    def start(self):
        self._log = os.path.join(self.home, "log")
        with open(self._log, "ab") as log:
            self._daemon = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent, cwd="/"
            )
        self.pid = self._daemon.pid
        self._await()

    def _await(self):
        until = time.monotonic() + START_SECONDS
        while not is_mounted(self.mount):
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise Failed("%s does not start: %s" % (self.name, self.log()))
            time.sleep(0.01)

    def stop(self):
        super().stop()
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(20)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self.pid = 0
        if is_mounted(self.mount):
            detach(self.mount)

    def log(self):
        return "".join(read_text(self._log).splitlines(True)[-5:]).strip()


class PassthroughHp(Served):
    """libfuse's own example."""

    def __init__(self, name, label, program, *flags, uring=False):
        super().__init__(name, label)
        self._program, self._flags, self._uring = program, flags, uring

    def _command(self):
        if self._uring:
            self.lab.want_uring()
        options = "allow_other,io_uring" if self._uring else "allow_other"
        return [self.lab.copy(self._program), "--foreground", *self._flags, "-o", options, self.lower, self.mount]

    def start(self):
        super().start()
        if self._uring:
            # A request gets the rings started.
            os.stat(self.mount)
            tasks = "/proc/%d/task" % self.pid
            names = [read_text(os.path.join(tasks, task, "comm")) for task in os.listdir(tasks)]
            if not any(name.startswith("fuse-ring") for name in names):
                raise NotOffered("libfuse fell back to /dev/fuse")


class Packaged(Served):
    """As the distribution has it."""

    def __init__(self, name, label, program, *flags):
        super().__init__(name, label)
        self._program, self._flags = program, flags

    def version(self):
        path = shutil.which(self._program)
        if path is None:
            raise NotOffered("not installed")
        return run(path, "--version").split("\n")[0]

    def _command(self):
        return [self._program, "-f", *self._flags, self.lower, self.mount]


class Fused(Served):
    """This project's, through its shared view or through an app's."""

    def __init__(self, name, label, programs, view, *flags, uring=False, policy=None, apps=None, profile="media"):
        super().__init__(name, label)
        self._fused, self._fusedctl = programs
        self._view, self._flags, self._uring = view, flags, uring
        self._policy, self._apps = policy, apps
        self.profile = profile
        self.symlinks = profile == "posix"

    def _path(self, name):
        return os.path.join(self.home, name)

    def _written(self, name, text):
        with open(self._path(name), "w", encoding="utf8") as out:
            out.write(text)
        return self._path(name)

    def _command(self):
        if self._uring:
            self.lab.want_uring()
        os.chmod(self.lower, 0o700)
        command = [self.lab.copy(self._fused), *self._flags, "--profile=" + self.profile]
        command.append("--transport=" + ("uring" if self._uring else "dev"))
        command += ["--%s=%s" % (name, self._path(name)) for name in ("control", "state_dir", "views_dir")]
        if self.profile == "media":
            command.append("--apps=" + self._written("apps.textproto", self._apps or app_directory()))
        if self._policy:
            command.append("--policy=" + self._written("policy.textproto", self._policy))
        return command + [self.lower, self.mount]

    def ctl(self, *arguments):
        return run(self.lab.copy(self._fusedctl), "--control=" + self._path("control"), *arguments)

    def status(self):
        return json.loads(self.ctl("--json", "status"))

    def _await(self):
        until = time.monotonic() + START_SECONDS
        while True:
            code = self._daemon.poll()
            if code == 2 and self._uring:
                raise NotOffered(self.log())
            if code is not None or time.monotonic() > until:
                raise Failed("%s does not start: %s" % (self.name, self.log()))
            try:
                self.ctl("wait", "--timeout=1s")
                break
            except Failed:
                pass
        self.await_scan()

    def await_scan(self):
        """The media index reads the lower tree first: not what is measured."""
        if self.profile == "media":
            while self.status()["volumes"][0]["media"]["state"] == "SCANNING":
                time.sleep(0.05)

    def _prefix(self, number):
        if self._view == "shared":
            return ()
        return (
            self.lab.copy(self._fusedctl),
            "--control=" + self._path("control"),
            "run",
            "--package=" + (PACKAGE + str(number) if number else PACKAGE),
            "--",
        )

    def transport(self):
        """How the requests of what is measured come."""
        volume = self.status()["volumes"][0]
        if self._view == "shared":
            return volume.get("transport")
        views = [view for view in volume["views"] if view["package"] == PACKAGE]
        return views[0].get("transport") if views else None

    def requests(self):
        return {name: int(n) for name, n in self.status()["volumes"][0]["requests"].items() if int(n)}


def app_directory(others=0, clients=16):
    """The app that the works are done by, those that work at the same time, and
    others."""
    lines = ["version: 1"]
    for number in range(clients):
        package = PACKAGE + str(number) if number else PACKAGE
        lines.append('apps { package: "%s" uid: %d roles: MANAGER target_sdk: 34 }' % (package, UID + number))
    kinds = ("READ_MEDIA_IMAGES", "READ_MEDIA_VIDEO", "READ_MEDIA_AUDIO", "ACCESS_MEDIA_LOCATION", "BENCH_1", "BENCH_2")
    for number in range(others):
        held = [kind for bit, kind in enumerate(kinds) if number * 7 >> bit & 1]
        lines.append(
            'apps { package: "com.other.app%d" uid: %d target_sdk: %d %s }'
            % (number, 11000 + number, 28 + number % 8, " ".join('permissions: "%s"' % kind for kind in held))
        )
    return "\n".join(lines) + "\n"


def large_policy(builtin, rules):
    """The built-in policy with others before its own, so many as make `rules`,
    that all say no to what no app here holds."""
    missing = rules - len(re.findall(r"^rules \{", builtin, re.M))
    types = ("IMAGE", "VIDEO", "AUDIO", "PLAYLIST")
    more = []
    for number in range(missing):
        more.append(
            'rules { name: "bench_%d" operations: [READ, WRITE, CREATE] when { all_of {'
            ' conditions { permission: "BENCH_%d" } conditions { media_type: "%s" } } }'
            " effect { deny { error: EACCES } } }" % (number, number % 20, types[number % len(types)])
        )
    text = re.sub(r"^version: 0$", "version: 1", builtin, count=1, flags=re.M)
    at = re.search(r"^rules \{", text, re.M).start()
    return text[:at] + "\n".join(more) + "\n\n" + text[at:]


def all_systems(fused, fusedctl, passthrough_hp, builtin_policy):
    """In the order of the tables; the first is what the others are compared with."""
    programs = (fused, fusedctl)
    return [
        Native("native", "native"),
        Bind("bind", "bind mount"),
        PassthroughHp("hp", "passthrough_hp", passthrough_hp),
        PassthroughHp("hp-nosplice", "hp --nosplice", passthrough_hp, "--nosplice"),
        PassthroughHp("hp-off", "hp --nopassthrough", passthrough_hp, "--nopassthrough"),
        PassthroughHp("hp-uring", "hp io_uring", passthrough_hp, "--nosplice", uring=True),
        Packaged("mergerfs", "mergerfs", "mergerfs", "-o", "cache.files=auto-full"),
        Packaged("bindfs", "bindfs", "bindfs", "-o", "allow_other"),
        Fused("fused-app", "fused, app view", programs, "app"),
        Fused("fused-app-uring", "fused, app view, uring", programs, "app", uring=True),
        Fused("fused-shared", "fused, shared view, one user", programs, "shared", "--single_user=true"),
        Fused("fused-off", "fused, passthrough off", programs, "app", "--passthrough=off"),
        Fused(
            "fused-policy",
            "fused, 200 rules, 1,000 apps",
            programs,
            "app",
            policy=large_policy(builtin_policy, 200),
            apps=app_directory(others=1000),
        ),
        Fused("fused-posix", "fused, posix", programs, "shared", profile="posix"),
        Fused("fused-posix-uring", "fused, posix, uring", programs, "shared", uring=True, profile="posix"),
    ]
