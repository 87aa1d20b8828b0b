"""Results as tables, and the rows that have a figure to reach."""

import plots

# (work, what is measured, target for dev, for uring, in the posix profile). Time
# is the ratio to native of an operation's time, larger is slower; CPU that of
# the CPU time of client and daemon.
TARGETS = (
    ("pread", "time", 1.3, 1.3, False),
    ("pwrite", "time", 1.35, 1.35, False),
    ("fio_read", "cpu", 1.05, 1.05, False),
    ("fio_randread", "cpu", 1.05, 1.05, False),
    ("fio_write", "cpu", 1.05, 1.05, False),
    ("fio_randwrite", "cpu", 1.05, 1.05, False),
    ("fio_mmap", "cpu", 1.05, 1.05, False),
    ("open", "time", 10, 7.5, False),
    ("open_read", "time", 8.5, 6.5, False),
    ("stat", "time", 1.15, 1.15, False),
    ("missing", "time", 1.15, 1.15, False),
    # In `media` there are no symbolic links, and chmod does nothing.
    ("readlink", "time", 1.15, 1.15, True),
    ("getxattr", "time", 1.15, 1.15, False),
    ("pwrite_fstat", "time", 11, 6, False),
    ("chmod", "time", 10, 6.5, True),
    ("create", "time", 7.5, 4.5, False),
    ("rename", "time", 8, 5, False),
    ("unlink", "time", 6, 3, False),
    ("mkdir", "time", 10, 6, False),
    ("ls", "time", 0.9, 0.9, False),
    ("list", "time", 0.3, 0.3, False),
    ("tar", "time", 13, 7.5, False),
    ("cp", "time", 9, 4.5, False),
    ("rm", "time", 8, 3.5, False),
    ("grep", "time", 7.5, 4, False),
    ("git", "time", 1.5, 1.3, False),
    ("make", "time", 1.6, 1.2, False),
)
# The shared view is no slower than so many times the app view.
SHARED = 1.3
PEERS = ("hp", "mergerfs", "bindfs", "hp-nosplice", "hp-off", "hp-uring")


def _median(result, work, system, measure):
    figures = result["figures"].get(work, {}).get(system)
    return figures[measure]["median"] if figures and figures[measure] else None


# Nobody waits for their answers.
_ASIDE = ("RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT", "DESTROY")
# Several ask at once: their exchanges may go on at the same time.
_SEVERAL = ("make",)


def at_least(result, work, system):
    """A ratio to native that nobody who answers in a process of his own gets
    below: what is done natively, and the cheapest exchange for each request that
    is waited for. None: not known, or nothing is asked."""
    counts = result["requests"].get(work, {}).get(system)
    native = _median(result, work, "native", "ns")
    if not counts or not native or work in _SEVERAL:
        return None
    waited = sum(count for name, count in counts["opcodes"].items() if name not in _ASIDE)
    exchanges = [nanos for nanos in result["exchange"].values() if nanos is not None]
    asked = waited * min(exchanges) / native if exchanges else 0
    # What mostly is not asked for may well be had sooner than natively.
    return 1 + asked if asked >= 0.1 else None


def _verdict(value, target):
    if value is None:
        return "not measured"
    return "met" if value <= target else "missed"


def judged(result):
    """Every row that has a figure to reach, met or not."""
    labels = {work["name"]: work["label"] for group in result["groups"] for work in group["works"]}
    absent = {system["name"]: system["absent"] for system in result["systems"] if system["absent"]}
    rows = []
    for work, measure, dev, uring, posix in TARGETS:
        if work not in labels:
            continue
        peers = [(_median(result, work, peer, measure), peer) for peer in PEERS]
        best = min([peer for peer in peers if peer[0] is not None], default=(None, None))
        row = {
            "work": work,
            "label": labels[work],
            "measure": measure,
            "profile": "posix" if posix else "media",
            "hp": _median(result, work, "hp", measure),
            "best_peer": best[0],
            "best_peer_name": best[1],
        }
        for way, target in (("dev", dev), ("uring", uring)):
            system = ("fused-posix" if posix else "fused-app") + ("-uring" if way == "uring" else "")
            value = _median(result, work, system, measure)
            verdict = "not offered" if system in absent else _verdict(value, target)
            row[way] = {"system": system, "figure": value, "target": target, "verdict": verdict}
            if measure == "time":
                row[way]["at_least"] = at_least(result, work, system)
        shared, own = _median(result, work, "fused-shared", "ns"), _median(result, work, "fused-app", "ns")
        if shared and own and not posix:
            verdict = _verdict(shared / own, SHARED)
            row["shared"] = {"figure": shared / own, "target": SHARED, "verdict": verdict}
        rows.append(row)
    return rows


def number(value):
    return "–" if value is None else plots.number(value)


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _told(cell):
    if cell is None:
        return "–"
    if cell["figure"] is None:
        return cell["verdict"]
    text = "%s (≤ %s)" % (number(cell["figure"]), cell["target"])
    return text if cell["verdict"] == "met" else "**%s, missed**" % text


def _beside(row):
    """What `dev` and `uring` take of passthrough_hp's time."""
    parts = [row[way]["figure"] and row["hp"] and row[way]["figure"] / row["hp"] for way in ("dev", "uring")]
    return ", ".join(number(part) if part else "–" for part in parts)


def _least(row):
    """Of `dev` and `uring`; bold where what is asked for is less."""
    cells = [(row[way].get("at_least"), row[way]["target"]) for way in ("dev", "uring")]
    texts = ["–" if least is None else "**%s**" % number(least) if least > target else number(least) for least, target in cells]
    return "–" if texts == ["–", "–"] else ", ".join(texts)


def targets_table(result):
    rows = []
    for row in result["targets"]:
        what = row["label"] + (", CPU" if row["measure"] == "cpu" else "") + (" (posix)" if row["profile"] == "posix" else "")
        best = number(row["best_peer"]) + (" (%s)" % row["best_peer_name"] if row["best_peer_name"] else "")
        rows.append([what, number(row["hp"]), best, _told(row["dev"]), _told(row["uring"]), _least(row), _beside(row), _told(row.get("shared"))])
    head = ["work", "passthrough_hp", "best peer", "fused `dev`", "fused `uring`", "at least", "both to passthrough_hp", "shared view to app view"]
    return _table(head, rows)


def _absolute(summary, unit):
    if summary is None:
        return "–"
    value = summary["median"] / (1e6 if unit == "ms" else 1e3)
    return "%s %s" % (number(value), unit)


def _ratio(summary):
    if summary is None:
        return "–"
    return "%s <sub>%s–%s</sub>" % (number(summary["median"]), number(summary["q1"]), number(summary["q3"]))


def _group_table(result, group, systems, measure, absolute):
    rows = []
    for work in group["works"]:
        figures = result["figures"].get(work["name"], {})
        native = figures.get("native")
        row = [work["label"], _absolute(native[absolute], work["unit"]) if native else "–"]
        for system in systems[1:]:
            failed = system["name"] in result["failures"].get(work["name"], {})
            of = figures.get(system["name"])
            row.append("failed" if failed else _ratio(of[measure]) if of else "–")
        rows.append(row)
    return _table(["work"] + [system["label"] for system in systems], rows)


def _requests_table(result, systems):
    rows = []
    for group in result["groups"]:
        for work in group["works"]:
            counts = result["requests"].get(work["name"], {})
            cells = [counts.get(system["name"]) for system in systems]
            if any(cells):
                rows.append([work["label"]] + [number(cell["per_op"]) if cell else "–" for cell in cells])
    return _table(["work"] + [system["label"] for system in systems], rows) if rows else ""


def _exchange_told(exchange):
    one, two = exchange["one_cpu_ns"] / 1e3, exchange["two_cpus_ns"]
    told = "%s µs, where both yield to each other on one processor" % number(one)
    if two is not None:
        told += "; %s µs, where who asks sleeps and who answers, on another, does not" % number(two / 1e3)
    return (
        "**At least**, `dev` and `uring`: what is done natively, and for each request that is waited for the cheapest exchange of a\n"
        "number between two processes here (%s), as a ratio to native. No daemon gets below\nthat; bold where less is asked for.\n" % told
    )


def markdown(result):
    machine = result["machine"]
    present = [system for system in result["systems"] if not system["absent"]]
    daemons = [system for system in present if system["most"]]
    text = [
        "# What was measured\n",
        "Linux %(kernel)s, %(cpus)d processors (%(cpu)s), %(memory_mib)d MiB, disk: %(disk)s, load at the end %(load).1f." % machine,
        "%d rounds of samples of at least %d ms each, the systems in another order each round." % (result["rounds"], result["millis"]),
        "A figure is the median of the ratios to native of the same round, **larger is slower**; small: the quartiles.",
        "Single operations, listings and fio are on the disk, changes and trees on tmpfs, one for each system. Clients are root, in an app view",
        "the app, which manages files (MANAGER). In the `media` profile are no symbolic links, and chmod changes nothing;",
        "there `posix` is measured. `–`: not measured on that system.\n",
    ]
    if machine.get("reclaims"):
        text.append("Meanwhile the kernel reclaimed what it found to be cold (DAMON): cached listings go with it.\n")
    if result["quick"]:
        text.append("**A quick run**: trees and listings have a twentieth of the files that the rows say.\n")
    for system in result["systems"]:
        if system["absent"]:
            text.append("- not measured: %s (%s)" % (system["label"], system["absent"]))
        elif system["version"]:
            text.append("- %s: %s" % (system["label"], system["version"]))
        elif system["transport"] and (system["transport"] == "uring") != system["name"].endswith("-uring"):
            text.append("- %s: at the end its requests came over %s" % (system["label"], system["transport"]))
    for work, systems in result["failures"].items():
        text += ["- failed: %s on %s: %s" % (work, system, why) for system, why in systems.items()]
    text += ["\n## What it must show\n", _exchange_told(result["exchange"]), targets_table(result)]
    for group in result["groups"]:
        text += ["## %s\n" % group["title"], "Time:\n", _group_table(result, group, present, "time", "ns")]
        text += ["CPU of client and daemon:\n", _group_table(result, group, present, "cpu", "cpu_ns")]
    text.append("## Requests per operation\n")
    if result["not_counted"]:
        text.append("Other daemons' are not counted: %s.\n" % result["not_counted"])
    text += ["As the kernel sends them, without forgets.\n", _requests_table(result, daemons)]
    text += [
        "## Memory and descriptors of the daemon, at most\n",
        _table(
            ["system", "MiB", "descriptors"],
            [[s["label"], number(s["most"]["rss_kib"] / 1024), str(s["most"]["descriptors"])] for s in daemons],
        ),
    ]
    return "\n".join(text)
