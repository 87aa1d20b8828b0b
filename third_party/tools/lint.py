#!/usr/bin/env python3
"""Lint: what a reviewer should not have to say.

Each check is one case; the last line is "N passed, N failed". Arguments are
names of checks; without any, all are run.
"""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # the directory is the source tree

import compile_commands
import tidy

ROOT = compile_commands.workspace()
OURS = ("androidtest/", "fused/", "kernel/", "policy/", "proto/", "third_party/")
BUILDIFIER = "8.2.1"
MAX_LINES = 500

# Through which walls nobody includes: (whose, what, but for these files).
_IO = r"<(fcntl|unistd|fstream|filesystem|iostream|dirent|sys/|linux/|fuse)"
_THREADS = r"(<(thread|mutex|condition_variable|shared_mutex|ctime|chrono)>|\"absl/(synchronization|time/clock))"
_NOT_LIBRARY = re.compile(r"(_test|_benchmark|benchmark)\.cc$")
WALLS = (
    ("proto/", r'"(policy|kernel|fused|androidtest)/', None),
    ("policy/", r'"(kernel|fused|androidtest)/', None),
    ("policy/", _IO, _NOT_LIBRARY),
    ("policy/", _THREADS, _NOT_LIBRARY),
    ("kernel/", r'"(proto|policy|fused|androidtest)/', None),
    ("fused/", r'"androidtest/', None),
    ("androidtest/", r'"(policy|kernel|fused)/', None),
    ("third_party/", r'"(proto|policy|kernel|fused|androidtest)/', None),
)


class Skipped(Exception):
    pass


def run(*command, cwd=ROOT):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def files(*endings):
    """Returns our own files: what git knows and what it would add."""
    code, out = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if code != 0 or not out:
        raise compile_commands.Failed("git lists no files: " + out.strip())
    return [f for f in out.splitlines() if f.endswith(endings) and os.path.exists(os.path.join(ROOT, f))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as content:
        return content.read()


def check_format():
    """clang-format"""
    sources = files(".cc", ".h", ".c", ".proto")
    return run("clang-format", "--dry-run", "-Werror", *sources)[1].splitlines()


def buildifier():
    """Returns the program, from npm into the user's cache if need be."""
    if shutil.which("buildifier"):
        return "buildifier"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = os.path.join(cache, "fused-buildifier-" + BUILDIFIER)
    program = os.path.join(place, "node_modules", ".bin", "buildifier")
    if not os.path.exists(program):
        if not shutil.which("npm"):
            raise Skipped("neither buildifier nor npm (to get it) is installed")
        os.makedirs(place, exist_ok=True)
        code, out = run(
            "npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", place, "@bazel/buildifier@" + BUILDIFIER
        )
        if code != 0:
            raise Skipped("npm cannot install it: " + out.strip()[-300:])
    return program


def check_buildifier():
    """buildifier"""
    off = ("cc-binary", "cc-library", "cc-proto", "cc-test", "proto", "proto-lang-toolchain", "sh-binary", "sh-test")
    sources = files("BUILD.bazel", ".BUILD", ".bzl", "WORKSPACE")
    code, out = run(
        buildifier(), "-mode=check", "-lint=warn", "-warnings=" + ",".join("-native-" + w for w in off), *sources
    )
    return out.splitlines() or ["exit code %d" % code] if code != 0 else []


def check_walls():
    """includes through a wall"""
    found = []
    for source in files(".cc", ".h", ".c", ".proto"):
        for number, line in enumerate(read(source).splitlines(), 1):
            if not re.match(r"\s*(#\s*include|import)\b", line):
                continue
            for room, forbidden, spared in WALLS:
                if source.startswith(room) and re.search(forbidden, line):
                    if not (spared and spared.search(source)):
                        found.append("%s:%d: %s" % (source, number, line.strip()))
    return found


def check_orphans():
    """sources that no target has"""
    query = 'kind("source file", deps(//..., 1))'
    labels = compile_commands.bazel("query", "--keep_going", query).split()
    known = {label.lstrip("/").replace(":", "/").lstrip("/") for label in labels}
    sources = files(".cc", ".h", ".c", ".proto", ".py", ".sh")
    return [s for s in sources if s.startswith(OURS) and s not in known]


def check_length():
    """files of more than 500 lines"""
    sources = files(".cc", ".h", ".c", ".py", ".sh", ".bzl")
    counts = [(s, read(s).count("\n")) for s in sources]
    return ["%s: %d lines" % (s, n) for s, n in counts if n > MAX_LINES]


class ClangTidy:
    """Two checks by one run: thread-safety annotations, and all else."""

    findings = None

    @classmethod
    def of(cls, thread_safety):
        if cls.findings is None:
            commands = [c for c in compile_commands.commands() if not c["file"].startswith("third_party/")]
            cls.findings = tidy.Tidy(ROOT).run(commands)
        return [f for f in cls.findings if ("[clang-diagnostic-thread-safety" in f) == thread_safety]


def check_thread_safety():
    """clang's -Wthread-safety"""
    return ClangTidy.of(True)


def check_tidy():
    """clang-tidy"""
    return ClangTidy.of(False)


CHECKS = {
    "format": check_format,
    "buildifier": check_buildifier,
    "walls": check_walls,
    "orphans": check_orphans,
    "length": check_length,
    "thread-safety": check_thread_safety,
    "tidy": check_tidy,
}


def main():
    unknown = [name for name in sys.argv[1:] if name not in CHECKS]
    if unknown:
        sys.exit("lint: no such check: %s; there are: %s" % (" ".join(unknown), " ".join(CHECKS)))
    passed = failed = skipped = 0
    for name in sys.argv[1:] or CHECKS:
        check = CHECKS[name]
        try:
            findings = check()
        except compile_commands.Failed as failure:
            findings = [str(failure)]
        except Skipped as reason:
            skipped += 1
            print("SKIPPED  %s (%s): %s" % (name, check.__doc__, reason), flush=True)
            continue
        for finding in findings:
            print(finding)
        failed, passed = (failed + 1, passed) if findings else (failed, passed + 1)
        print("%s  %s (%s)" % ("FAILED " if findings else "PASSED ", name, check.__doc__), flush=True)
    if skipped:
        print("%d skipped" % skipped)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
