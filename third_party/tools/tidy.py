"""Runs clang-tidy, remembering what was clean.

A source is clean for as long as its text, that of everything it includes, how
it is compiled, .clang-tidy and clang-tidy itself stay as they were. This is
kept by content below the user's cache directory, so that a second run, or a
run in another clone, looks at what changed.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

_CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "fused-tidy")
_FINDING = re.compile(r"(^|: )(warning|error): .*\[\S+\]$")


def _without_outputs(arguments):
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in ("-MF", "-o"):
            skip = True
        elif argument != "-MD":
            kept.append(argument)
    return kept


def _dependencies(command):
    """Returns the files that a source includes, itself among them."""
    done = subprocess.run(
        ["clang", *_without_outputs(command["arguments"])[1:], "-M", "-w"],
        cwd=command["directory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode != 0:
        return None
    return done.stdout.replace("\\\n", " ").partition(": ")[2].split()


class Tidy:
    """Findings of all sources, in parallel."""

    def __init__(self, root):
        self._root = root
        self._digests = {}
        version = subprocess.run(["clang-tidy", "--version"], stdout=subprocess.PIPE).stdout
        with open(os.path.join(root, ".clang-tidy"), "rb") as config:
            self._common = hashlib.sha256(version + config.read()).digest()

    def _digest(self, path):
        path = os.path.join(self._root, path)
        if path not in self._digests:
            with open(path, "rb") as content:
                self._digests[path] = hashlib.sha256(content.read()).digest()
        return self._digests[path]

    def _key(self, command):
        """Returns the name under which the cache knows that it is clean."""
        files = _dependencies(command)
        if files is None:
            return None
        arguments = _without_outputs(command["arguments"])
        # The output base, by which external sources are named, differs from
        # clone to clone and says nothing.
        text = re.sub(r"/\S+/external/", "/external/", "\0".join(arguments))
        total = hashlib.sha256(self._common + text.encode())
        for path in files:
            total.update(self._digest(path))
        return total.hexdigest()

    def _check(self, command, database):
        key = self._key(command)
        mark = key and os.path.join(_CACHE, key)
        if mark and os.path.exists(mark):
            os.utime(mark)
            return []
        done = subprocess.run(
            ["clang-tidy", "--quiet", "-p", database, command["file"]],
            cwd=self._root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        findings = []
        for line in done.stdout.splitlines():
            if _FINDING.search(line):
                findings.append(line.replace(self._root + "/", ""))
        if done.returncode != 0 and not findings:
            findings.append("%s: clang-tidy: %s" % (command["file"], done.stderr.strip()))
        if not findings and mark:
            open(mark, "w").close()
        return findings

    def run(self, commands):
        """Returns the findings, each once."""
        os.makedirs(_CACHE, exist_ok=True)
        found = set()
        with tempfile.TemporaryDirectory() as database:
            with open(os.path.join(database, "compile_commands.json"), "w") as out:
                json.dump([dict(c, arguments=_without_outputs(c["arguments"])) for c in commands], out)
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                checked = pool.map(lambda c: self._check(c, database), commands)
                for number, findings in enumerate(checked, 1):
                    found.update(findings)
                    if number % 20 == 0:
                        print("clang-tidy: %d of %d sources" % (number, len(commands)), file=sys.stderr)
        return sorted(found)
