"""The files that works find: made natively, below each lower tree."""

import os
import random
import subprocess

from lab import run
from works import APPS, EACH, MIB, QUICK_DIVISOR, SET

HEADERS, SOURCES = 240, 48


def _text(chance, size):
    words = [chance.choice(("alpha", "beta", "gamma", "delta", "int", "return", "struct", "zeta")) for _ in range(size // 6)]
    return " ".join(words) + "\n"


def _write(path, text):
    with open(path, "w", encoding="utf8") as out:
        out.write(text)


def _make_tree(top, files):
    """Files of one to eight KiB, forty in a directory."""
    chance = random.Random(7)
    for number in range(files):
        directory = os.path.join(top, "part%d" % (number // 800), "d%d" % (number // 40))
        os.makedirs(directory, exist_ok=True)
        _write(os.path.join(directory, "file%d.c" % number), _text(chance, chance.randrange(1000, 8000)))


def _make_synth(top):
    """Short sources that include very many headers."""
    os.makedirs(os.path.join(top, "include"))
    for number in range(HEADERS):
        guard = "H%d_H" % number
        _write(
            os.path.join(top, "include", "h%d.h" % number),
            "#ifndef %s\n#define %s\nint declared_%d(int);\n#endif\n" % (guard, guard, number),
        )
    names = ["s%d" % number for number in range(SOURCES)]
    for number, name in enumerate(names):
        lines = ['#include "h%d.h"' % (header % HEADERS) for header in range(number, number + 160)]
        _write(os.path.join(top, name + ".c"), "\n".join(lines) + "\nint f_%s(int x) { return x; }\n" % name)
    _write(
        os.path.join(top, "Makefile"),
        "all: %s\n%%.o: %%.c $(wildcard include/*.h)\n\tcc -pipe -Iinclude -c -o $@ $<\n"
        % " ".join(name + ".o" for name in names),
    )


def make_templates(top, files):
    """What is copied to each system: an archive, a repository, sources."""
    place = os.path.join(top, "templates")
    tree = os.path.join(place, "tree")
    _make_tree(tree, files)
    run("tar", "-cf", os.path.join(top, "tree.tar"), "-C", place, "tree")
    repository = os.path.join(place, "repo")
    os.rename(tree, repository)
    git = ("git", "-C", repository, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "core.fileMode=false")
    run("git", "init", "-q", repository)
    run("git", "-C", repository, "config", "core.fileMode", "false")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "tree")
    run(*git, "gc", "-q")
    _make_synth(os.path.join(place, "synth"))
    return place


def fill(client, ground, place, names, symlinks, quick, templates=None):
    """Makes in `place` what the groups of that ground need, of `names`."""
    listed = 20000 // QUICK_DIVISOR if quick else 20000

    def make_set(path, count, size):
        path = os.path.join(place, path)
        os.makedirs(path, exist_ok=True)
        client.ask("fill", path=path, count=count, size=size)
        os.chmod(path, 0o777)

    def make_file(path, size):
        with open(os.path.join(place, path), "wb") as out:
            for _ in range(0, size, MIB):
                out.write(os.urandom(MIB))

    make_set("set", SET, 4096)
    if ground == "disk":
        if "cold" in names:
            make_set("set2", SET, 4096)
        make_set("list20k", listed, 0)
        make_set("list10k", listed // 2, 0)
        make_file("big", 16 * MIB)
        if "fio" in names:
            make_file("fio", 32 * MIB)
        if symlinks:
            os.mkdir(os.path.join(place, "links"))
            client.ask("symlink", path=os.path.join(place, "links"), count=SET)
    else:
        os.mkdir(os.path.join(place, "new"))
        if "many" in names:
            for number in range(APPS):
                make_set("many/%d" % number, EACH, 4096)
        if "trees" in names:
            for name in ("repo", "synth"):
                subprocess.run(["cp", "-a", os.path.join(templates, name), place], check=True)
