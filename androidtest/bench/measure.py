"""Runs the works on the systems, in rounds."""

import json
import os
import random

import fixtures
from lab import Client, Failed, NotOffered, run
from progress import Progress
from works import SET, on_path, tree_files

ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


# That the samples of one work on one system take, from where on it has enough.
ENOUGH_SECONDS = 4


class Run:
    """All that is asked for; results are in its fields."""

    def __init__(self, options, lab, groups, systems):
        self._options, self._lab, self._groups = options, lab, groups
        self._chance = random.Random(options.seed)
        self._all = systems
        self._absent = {}
        self._versions = {}
        self._transports = {}
        self.samples = {}
        self.requests = {}
        self.failures = {}
        os.environ.update(ENVIRONMENT)

    def _rounds(self, group):
        return max(1, round(self._options.rounds * group.share))

    def _on(self, group):
        return [s for s in self._systems() if not group.systems or s.name in group.systems]

    def _systems(self):
        return [s for s in self._all if s.name not in self._absent]

    def all(self):
        for system in self._all:
            try:
                self._versions[system.name] = system.version()
            except NotOffered as reason:
                self._absent[system.name] = str(reason)
        steps = sum(
            (self._rounds(group) + 1) * len(chain) * len(self._on(group)) for group in self._groups for chain in group.chains
        )
        self.progress = Progress(steps)
        self._outside = Client(self._lab)
        try:
            for ground in ("disk", "tmpfs"):
                groups = [group for group in self._groups if group.ground == ground]
                if groups:
                    self._on_ground(ground, groups)
        finally:
            self._outside.close()
            self.progress.close()

    def _on_ground(self, ground, groups):
        names = {group.name for group in groups}
        place = self._lab.ground(ground)
        templates = None
        if "trees" in names:
            templates = fixtures.make_templates(self._lab.top, tree_files(self._options.quick))
        started = []
        try:
            for system in self._systems():
                self.progress.say("%s: %s" % (ground, system.label))
                if self._start(system, place, names, templates):
                    started.append(system)
            run("sync", "-f", place)
            for group in groups:
                self._group(group, [s for s in self._on(group) if s in started])
            for system in started:
                self._transports[system.name] = system.transport()
        finally:
            for system in started:
                system.stop()
        for system in started:
            system.remove()

    def _start(self, system, ground, names, templates):
        """Its files, and its daemon; returns whether it is to be had."""
        kind = os.path.basename(ground)
        place = system.prepare(self._lab, ground)
        fixtures.fill(self._outside, kind, place, names, system.symlinks, self._options.quick, templates)
        try:
            system.start()
            system.client().ask("stat", path=system.place, count=1)
        except NotOffered as reason:
            self._absent[system.name] = str(reason)
            self.progress.say("  not offered: %s" % reason)
            system.stop()
            return False
        return True

    def _group(self, group, systems):
        # The first round is for counting, and is not timed.
        for number in range(self._rounds(group) + 1):
            for chain in group.chains:
                order = list(systems)
                self._chance.shuffle(order)
                for system in order:
                    self._chain(group, chain, system, number)

    def _chain(self, group, chain, system, number):
        if group.cold:
            forget_names()
            self._read_lower(system)
        for work in chain:
            self.progress.step("%s: %s" % (system.name, work.label))
            if work.symlinks and not system.symlinks:
                continue
            if system.name in self.failures.get(work.name, {}):
                continue
            try:
                if number == 0:
                    self._count(work, system)
                elif len(chain) > 1 or not self._has_enough(work, system):
                    self._time(work, system, number)
            except Failed as failure:
                self.failures.setdefault(work.name, {})[system.name] = str(failure).replace(self._lab.top + "/", "")
                self.progress.say("  %s, %s: %s" % (system.name, work.name, failure))
            system.look()

    def _read_lower(self, system):
        """The lower file system's caches are warm then, the mount's are not."""
        lower = os.path.join(system.lower, os.path.relpath(system.place, self._mount_of(system)))
        for name in ("list20k", "list10k", "set", "set2"):
            self._outside.ask("list_stat", path=os.path.join(lower, name), count=1)
        self._outside.ask("open_read", path=os.path.join(lower, "set2"), set=SET, count=SET)

    @staticmethod
    def _mount_of(system):
        return system.lower if system.name == "native" else system.mount

    def _words(self, words, system):
        return [word.replace("{place}", system.place).replace("{top}", self._lab.top) for word in words]

    def _ask(self, work, system, count, millis):
        """A sample of one client or of several."""
        fields = dict(work.fields)
        fields.update({"count": count} if count else {"millis": millis})
        if system.pid:
            fields["daemon"] = system.pid
        out = None
        if work.fio:
            # An app's umask and uid are its own.
            out = os.path.join(self._lab.top, "out", system.name)
            os.makedirs(os.path.dirname(out), exist_ok=True)
            with open(out, "w", encoding="utf8"):
                os.chmod(out, 0o666)
            fields["out"] = out
        clients = [system.client(number) for number in range(work.apps)]
        for number, client in enumerate(clients):
            path = on_path(work, system.place, number)
            client.send(work.ruler, self._words(work.arguments, system), path=path, **fields)
        answers = [client.receive() for client in clients]
        sample = joined(answers)
        if sample["errors"]:
            why = clients[0].complaint() if work.ruler == "exec" else os.strerror(sample["errno"])
            raise Failed("%d of %d failed: %s" % (sample["errors"], sample["ops"], why))
        if work.fio:
            with open(out, encoding="utf8") as text:
                sample.update(of_fio(json.load(text)["jobs"][0], work.fio))
        return sample

    def _warm(self, work, system, first):
        if work.forget:
            forget_names()
        if work.before:
            system.client().ask("exec", self._words(work.before, system), path=system.place, count=1)
        # A read makes the kernel ask for attributes again: what is warm has to
        # be warmed before each sample.
        if work.warm > 1 or first and work.warm:
            self._ask(work, system, work.warm, 0)

    def _has_enough(self, work, system):
        """A peer that takes a hundred times as long is not worth all rounds.
        (Works of a chain need each other.)"""
        samples = self.samples.get(work.name, {}).get(system.name, [])
        return len(samples) >= 2 and sum(sample["wall_ns"] for sample in samples) > ENOUGH_SECONDS * 1e9

    def _time(self, work, system, number):
        self._warm(work, system, False)
        sample = self._ask(work, system, work.count, self._options.millis)
        sample["round"] = number
        self.samples.setdefault(work.name, {}).setdefault(system.name, []).append(sample)

    def _count(self, work, system):
        """How many requests an operation is."""
        self._warm(work, system, True)
        if not system.pid:
            self._ask(work, system, work.count or 64, 0)
            return
        traced = self._lab.tracer.why_not is None and work.apps == 1
        before = system.requests()
        if traced:
            self._lab.tracer.start(system.device())
        try:
            sample = self._ask(work, system, work.count or (2 if work.ruler.startswith("list") else 64), 0)
        finally:
            total, opcodes = self._lab.tracer.stop() if traced else (None, {})
        after = system.requests()
        if after is not None:
            told = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
            if not traced:
                total = sum(n for name, n in told.items() if "FORGET" not in name)
            if not opcodes:
                opcodes = told
        if total is None:
            return
        self.requests.setdefault(work.name, {})[system.name] = {
            "per_op": total / sample["ops"],
            "by": "tracepoint" if traced else "status",
            "opcodes": {name: n / sample["ops"] for name, n in sorted(opcodes.items())},
        }

    def systems_told(self):
        return [
            {
                "name": system.name,
                "label": system.label,
                "profile": system.profile,
                "version": self._versions.get(system.name),
                "transport": self._transports.get(system.name),
                "absent": self._absent.get(system.name),
                "most": system.most(),
            }
            for system in self._all
        ]


def forget_names():
    """All that nobody uses leaves the kernel's caches."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="utf8") as drop:
        drop.write("2")


def joined(answers):
    """Of clients that worked at the same time: each saw the daemon's CPU time."""
    return {
        "ops": sum(answer["ops"] for answer in answers),
        "wall_ns": max(answer["wall_ns"] for answer in answers),
        "client_cpu_ns": sum(answer["client_cpu_ns"] for answer in answers),
        "daemon_cpu_ns": max(answer["daemon_cpu_ns"] for answer in answers),
        "errors": sum(answer["errors"] for answer in answers),
        "errno": next((answer["errno"] for answer in answers if answer["errors"]), 0),
    }


def of_fio(job, direction):
    """What fio says of its own job, which began after fio did."""
    if job["error"]:
        raise Failed("fio: " + os.strerror(job["error"]))
    done = job[direction]
    millis = job["job_runtime"]
    return {
        "ops": done["total_ios"],
        "wall_ns": millis * 1_000_000,
        "client_cpu_ns": int((job["usr_cpu"] + job["sys_cpu"]) / 100 * millis * 1_000_000),
    }
