"""What costs grow with: files of a directory, nodes, views, apps, handles."""

import json
import os
import re
import statistics
import time

import plots
from figures import quantile
from lab import Client, Failed, read_text
from machine import describe
from progress import Progress
from systems import PACKAGE, Fused, app_directory

SAMPLES = 5
# Node memory is held under this, in bytes.
NODE_TARGET = 300


def _rss(system):
    for line in read_text("/proc/%d/status" % system.pid).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Growth:
    """Curves, each a list of (size, value)."""

    def __init__(self, options, lab, programs):
        self._options, self._lab, self._programs = options, lab, programs
        self._outside = Client(lab)
        self.curves = {}
        self.progress = Progress(5)

    def close(self):
        self._outside.close()
        self.progress.close()

    def _sizes(self, *sizes):
        """The largest only where time is not short."""
        return sizes[:2] if self._options.quick else sizes

    def _add(self, curve, size, value):
        self.curves.setdefault(curve, []).append((size, value))

    def _system(self, name, apps=1, fill=None):
        """A daemon whose lower tree `fill` has filled."""
        system = Fused(name, name, self._programs[:2], "app", apps=app_directory(clients=apps))
        place = system.prepare(self._lab, os.path.join(self._lab.top, "tmpfs"))
        if fill:
            fill(place)
        system.start()
        return system

    def _end(self, system):
        system.stop()
        system.remove()

    def _micros(self, client, work, path, samples=SAMPLES, **fields):
        """The median time of an operation."""
        if "count" not in fields:
            fields["millis"] = self._options.millis
        client.ask(work, path=path, **dict(fields, count=fields.get("count", 64), millis=0))
        answers = [client.ask(work, path=path, **fields) for _ in range(samples)]
        for answer in answers:
            if answer["errors"]:
                raise Failed("%s: %s" % (work, os.strerror(answer["errno"])))
        return quantile([answer["wall_ns"] / answer["ops"] for answer in answers], 0.5) / 1e3

    def _set(self, place, name, count, size=0):
        path = os.path.join(place, name)
        os.makedirs(path)
        self._outside.ask("fill", path=path, count=count, size=size)

    def directories(self):
        for size in self._sizes(100, 1000, 10_000, 100_000):
            system = self._system("directory", fill=lambda place, size=size: self._set(place, "d", size))
            path = os.path.join(system.place, "d")
            client = system.client()
            first = client.ask("list_stat", path=path, count=1)
            self._add("list_first", size, first["wall_ns"] / first["ops"] / 1e3)
            self._add("list_again", size, self._micros(client, "list", path, count=2))
            self._add("open_in_directory", size, self._micros(client, "open", path, set=size))
            made = []
            for _ in range(SAMPLES):
                answer = client.ask("create", path=path, count=100)
                made.append(answer["wall_ns"] / answer["ops"] / 1e3)
                client.ask("rename", path=path, count=100)
                client.ask("unlink", path=path, count=100)
            self._add("create_in_directory", size, statistics.median(made))
            self._end(system)

    def nodes(self):
        for size in self._sizes(1000, 10_000, 100_000, 1_000_000):

            def fill(place, size=size):
                for number in range(size // 1000):
                    self._set(place, "d%d" % number, 1000)

            system = self._system("nodes", fill=fill)
            client = system.client()
            before, known = _rss(system), int(system.status()["volumes"][0]["nodes"])
            begun = time.monotonic()
            for number in range(size // 1000):
                client.ask("list_stat", path=os.path.join(system.place, "d%d" % number), count=1)
            spent = time.monotonic() - begun
            nodes = int(system.status()["volumes"][0]["nodes"]) - known
            self._add("bytes_per_node", size, (_rss(system) - before) / max(1, nodes))
            self._add("walk_per_node", size, spent / size * 1e6)
            self._end(system)

    def views(self):
        sizes = self._sizes(1, 10, 100, 1000)
        system = self._system("views", apps=sizes[-1], fill=lambda place: self._set(place, "d", 64, 4096))
        before, there = _rss(system), 0
        first = None
        for size in sizes:
            spent = []
            for number in range(there, size):
                begun = time.monotonic()
                package = PACKAGE + str(number) if number else PACKAGE
                mount = system.ctl("view", "--package=" + package).strip().splitlines()[-1]
                spent.append(time.monotonic() - begun)
                path = os.path.join(mount, os.path.relpath(system.place, system.mount), "d")
                first = first or path
                # Each view has seen the files.
                self._outside.ask("open_read", path=path, set=64, count=64)
            there = size
            self._add("view_made", size, statistics.median(spent) * 1e3)
            if size > 1:
                self._add("bytes_per_view", size, (_rss(system) - before) / size / 1024)
            self._add("open_with_views", size, self._micros(self._outside, "open", first, set=64))
            made = []
            for _ in range(SAMPLES):
                answer = self._outside.ask("create", path=first, count=20)
                made.append(answer["wall_ns"] / answer["ops"] / 1e3)
                self._outside.ask("rename", path=first, count=20)
                self._outside.ask("unlink", path=first, count=20)
            self._add("create_with_views", size, statistics.median(made))
        self._end(system)

    def apps(self):
        system = self._system("apps", fill=lambda place: self._set(place, "d", 64, 4096))
        path = os.path.join(system.place, "d")
        client = system.client()
        for version, size in enumerate(self._sizes(10, 100, 1000, 10_000), 2):
            directory = os.path.join(system.home, "pushed.textproto")
            with open(directory, "w", encoding="utf8") as out:
                out.write(app_directory(others=size).replace("version: 1", "version: %d" % version, 1))
            begun = time.monotonic()
            system.ctl("apps", directory)
            self._add("push_apps", size, (time.monotonic() - begun) * 1e3)
            self._add("open_with_apps", size, self._micros(client, "open", path, set=64))
            self._add("memory_with_apps", size, _rss(system) / (1 << 20))
        self._end(system)

    def handles(self):
        apps = 2 if self._options.quick else 16
        system = self._system("handles", apps=apps, fill=lambda place: self._set(place, "d", 512, 4096))
        path = os.path.join(system.place, "d")
        measured = system.client()
        self._micros(measured, "open", path, set=512)
        held, before = 0, None
        for size in self._sizes(1, 10, 100, 500):
            for number in range(apps):
                system.client(number).hold(path, held, size)
            held = size
            total = apps * size
            self._add("open_with_handles", total, self._micros(measured, "open", path, set=512))
            if before is None:
                before = (_rss(system), total)
            else:
                self._add("bytes_per_handle", total, (_rss(system) - before[0]) / (total - before[1]))
        self._end(system)

    def all(self):
        self._lab.ground("tmpfs")
        parts = (self.directories, self.nodes, self.views, self.apps, self.handles)
        for part in [part for part in parts if re.fullmatch(self._options.only, part.__name__)]:
            self.progress.step("growth: " + part.__name__)
            part()


PAGE = (
    ("open_in_directory", "open+close in a directory", "µs an operation", "files of the directory"),
    ("create_in_directory", "create+write 4 KiB+close in a directory", "µs an operation", "files of the directory"),
    ("list_first", "listing with attributes, first time", "µs a name", "files of the directory"),
    ("list_again", "listing again", "µs a name", "files of the directory"),
    ("bytes_per_node", "the daemon's memory for a node", "bytes; at most %d are wanted" % NODE_TARGET, "nodes"),
    ("walk_per_node", "walking a tree with attributes, first time", "µs a node", "nodes"),
    ("open_with_views", "open+close beside other app views", "µs an operation", "views"),
    ("create_with_views", "create+write 4 KiB+close", "µs an operation; the other views have to be told", "views"),
    ("view_made", "making an app view with fusedctl", "ms", "views"),
    ("bytes_per_view", "the daemon's memory for a view of 64 files", "KiB", "views"),
    ("open_with_apps", "open+close, by number of apps", "µs an operation", "apps"),
    ("push_apps", "pushing an app directory with fusedctl", "ms", "apps"),
    ("memory_with_apps", "the daemon's memory", "MiB", "apps"),
    ("open_with_handles", "open+close while others are held open", "µs an operation", "handles held"),
    ("bytes_per_handle", "the daemon's memory for an open file", "bytes", "handles held"),
)


def page(result):
    width, height, columns = 390, 210, 3
    machine = result["machine"]
    body = [
        '<text x="8" y="22" font-size="16" font-weight="bold">What costs in fused grow with (app view, /dev/fuse)</text>',
        '<text x="8" y="38" font-size="10">Linux %(kernel)s, %(cpus)d processors</text>' % machine,
    ]
    for number, (curve, title, below, along) in enumerate(PAGE):
        x, y = number % columns * width, 50 + number // columns * height
        body += plots.curve(title, below, along, result["curves"].get(curve, []), x, y, width, height)
    return plots.frame(width * columns, 50 + -(-len(PAGE) // columns) * height, body)


def markdown(result):
    lines = ["# What costs grow with\n", "| what | unit | by | figures |", "|---|---|---|---|"]
    for curve, title, below, along in PAGE:
        points = "; ".join("{:,}: {}".format(size, plots.number(value)) for size, value in result["curves"].get(curve, []))
        lines.append("| %s | %s | %s | %s |" % (title, below, along, points))
    per_node = result["curves"].get("bytes_per_node", [])
    if per_node:
        size, value = per_node[-1]
        verdict = "met" if value <= NODE_TARGET else "**missed**"
        lines.append("\nMemory for a node of {:,}: {:.0f} bytes (≤ {}), {}.".format(size, value, NODE_TARGET, verdict))
    return "\n".join(lines) + "\n"


def bench(options, lab, programs):
    growth = Growth(options, lab, programs)
    try:
        growth.all()
    finally:
        growth.close()
    result = {"version": 1, "machine": describe(lab.top), "quick": options.quick, "curves": growth.curves}
    return {
        "growth.json": json.dumps(result, indent=1) + "\n",
        "growth.md": markdown(result),
        "growth.svg": page(result),
    }
