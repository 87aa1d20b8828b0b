#!/usr/bin/env python3
"""Measures fused beside the native file system and beside its peers.

Needs root. Without options it takes about twelve minutes on an idle machine of
two processors, and writes results.json, results.md and results.svg.
"""

import argparse
import json
import os
import re
import signal
import shutil
import sys

sys.dont_write_bytecode = True  # the directory is the source tree

import growth
import plots
import report
import where
from figures import figures
from lab import Client, Failed, Lab, read_text
from machine import describe
from measure import Run
from systems import all_systems
from works import all_groups, selected


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for program in ("ruler", "fused", "fusedctl", "passthrough-hp", "policy"):
        parser.add_argument("--" + program, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few rounds and short ones: whether it works")
    parser.add_argument("--full", action="store_true", help="all works on all systems, and more rounds")
    parser.add_argument("--growth", action="store_true", help="instead: what costs grow with")
    parser.add_argument("--where", action="store_true", help="instead: where the processor's time goes, by perf(1)")
    parser.add_argument("--rounds", type=int, help="of single operations; the others have fewer")
    parser.add_argument("--millis", type=int, help="that a sample takes, at least")
    parser.add_argument("--only", metavar="REGEX", default=".*", help="works, or groups of them")
    parser.add_argument("--on", metavar="LIST", help="systems, with commas between")
    parser.add_argument("--place", metavar="DIR", help="on the disk to measure on (default: TMPDIR)")
    parser.add_argument("--out", metavar="DIR", help="where results go (default: androidtest/bench/results)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of systems")
    parser.add_argument("--list", action="store_true", help="name works and systems")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 9 if options.full else 6)
    options.millis = options.millis or (15 if options.quick else 50)
    # `bazel run` starts elsewhere than the reader did.
    if options.out:
        options.out = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), options.out)
    else:
        root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        options.out = os.path.join(root, "androidtest/bench/results") if root else os.getcwd()
    return options


def chosen(systems, names):
    if names is None:
        return systems
    names = names.split(",")
    unknown = set(names) - {system.name for system in systems}
    if unknown:
        sys.exit("bench: no such system: %s; there are: %s" % (", ".join(unknown), ", ".join(s.name for s in systems)))
    return [system for system in systems if system.name in names or system.name == "native"]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf8") as out:
        out.write(text)
    print(path)


def exchange_of(lab, millis):
    client = Client(lab)
    try:
        return client.exchange(millis)
    finally:
        client.close()


def bench(options, lab, groups, systems):
    exchange = exchange_of(lab, options.millis)
    run = Run(options, lab, groups, systems)
    run.all()
    result = {
        "version": 1,
        "machine": describe(lab.top),
        "exchange": exchange,
        "rounds": options.rounds,
        "millis": options.millis,
        "quick": options.quick,
        "systems": run.systems_told(),
        "groups": [
            {
                "name": group.name,
                "title": group.title,
                "ground": group.ground,
                "works": [{"name": w.name, "label": w.label, "unit": w.unit} for chain in group.chains for w in chain],
            }
            for group in groups
        ],
        "not_counted": lab.tracer.why_not,
        "requests": run.requests,
        "failures": run.failures,
        "figures": figures(run.samples),
        "samples": run.samples,
    }
    result["targets"] = report.judged(result)
    write(os.path.join(options.out, "results.json"), json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    write(os.path.join(options.out, "results.md"), report.markdown(result))
    write(os.path.join(options.out, "results.svg"), plots.page(result))
    print("\n" + report.targets_table(result))


def look_where(options, lab, groups, systems):
    run = where.Where(options, lab, groups, systems)
    run.all()
    if run.failures:
        raise Failed("where: %s" % run.failures)
    write(os.path.join(options.out, "where.md"), where.markdown(describe(lab.top), groups, systems, run))


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    options = options_of(sys.argv[1:])
    programs = [os.path.abspath(path) for path in (options.fused, options.fusedctl, options.passthrough_hp)]
    systems = all_systems(*programs, read_text(options.policy))
    groups = selected(all_groups(options.quick, options.full, shutil.which("fio") is not None), re.compile(options.only))
    if options.list:
        for group in groups:
            print("%s: %s" % (group.name, " ".join(work.name for chain in group.chains for work in chain)))
        print("systems: " + " ".join(system.name for system in systems))
        return
    if not groups and not options.growth:
        sys.exit("bench: no such work: %s (--list names them)" % options.only)
    systems = chosen(systems, options.on)
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        sys.exit("bench: mounting needs root and /dev/fuse")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with Lab(os.path.abspath(options.ruler), options.place) as lab:
            if options.growth:
                for name, text in growth.bench(options, lab, programs).items():
                    write(os.path.join(options.out, name), text)
            elif options.where:
                look_where(options, lab, groups, systems)
            else:
                bench(options, lab, groups, systems)
    except Failed as failure:
        sys.exit("bench: %s" % failure)
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; nothing is left mounted")


if __name__ == "__main__":
    main()
