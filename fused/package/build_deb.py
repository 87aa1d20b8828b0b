#!/usr/bin/env python3
"""Makes a Debian package of files, the same bytes each time.

    build_deb.py --out=FILE.deb --version=V --control=DIR/control.in ... \\
        --put=SOURCE:/path/in/root:MODE ... --link=/path:target ...

Programs are stripped; manual pages and the changelog are compressed. What the
programs need is asked of dpkg-shlibdeps.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

# The changelog's date, so that nothing depends on when it is built.
EPOCH = 1795176000


def run(*command, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True, **options
    )
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(command), done.stderr))
    return done.stdout


def read(path):
    with open(path, encoding="utf8") as source:
        return source.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def is_program(path):
    with open(path, "rb") as source:
        return source.read(4) == b"\x7fELF"


def compressed(place):
    return place.startswith("/usr/share/man/") or place.endswith("/changelog")


def put(root, argument, version):
    """Copies one file; returns its path if it is a program."""
    source, place, mode = argument.rsplit(":", 2)
    target = root + place
    with open(source, "rb") as content:
        data = content.read()
    if source.endswith(".in"):
        data = data.replace(b"@VERSION@", version.encode())
    if compressed(place):
        target += ".gz"
        data = gzip.compress(data, 9, mtime=0)
    write(target, data)
    if is_program(target):
        run("strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", target)
    os.chmod(target, int(mode, 8))
    return target if is_program(target) else None


def needed(programs):
    """The packages that the programs' libraries are in, with versions."""
    with tempfile.TemporaryDirectory() as top:
        write(os.path.join(top, "debian/control"), b"Source: fused\n\nPackage: fused\nArchitecture: any\n")
        out = run("dpkg-shlibdeps", "-O", *["-e" + os.path.abspath(p) for p in programs], cwd=top)
    return re.search(r"shlibs:Depends=(.*)", out).group(1)


def fill_control(root, sources, arguments, programs):
    directory = os.path.join(root, "DEBIAN")
    os.makedirs(directory)
    sums, size = [], 0
    for top, _, names in sorted(os.walk(root)):
        if top.startswith(directory):
            continue
        size += 1
        for name in sorted(names):
            path = os.path.join(top, name)
            size += 1 if os.path.islink(path) else (os.path.getsize(path) + 1023) // 1024
            if os.path.islink(path):
                continue
            with open(path, "rb") as content:
                digest = hashlib.md5(content.read()).hexdigest()
            sums.append("%s  %s\n" % (digest, os.path.relpath(path, root)))
    write(os.path.join(directory, "md5sums"), "".join(sorted(sums)).encode())
    values = {
        "VERSION": arguments.version,
        "ARCHITECTURE": run("dpkg", "--print-architecture").strip(),
        "SIZE": str(size),
        "DEPENDS": needed(programs),
    }
    for source in sources:
        name = os.path.basename(source)
        text = read(source)
        if name == "control.in":
            name = "control"
            text = re.sub("@([A-Z]+)@", lambda match: values[match.group(1)], text)
        write(os.path.join(directory, name), text.encode())
        script = name in ("preinst", "postinst", "prerm", "postrm")
        os.chmod(os.path.join(directory, name), 0o755 if script else 0o644)
    os.chmod(os.path.join(directory, "md5sums"), 0o644)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--control", action="append", default=[])
    parser.add_argument("--put", action="append", default=[])
    parser.add_argument("--link", action="append", default=[])
    arguments = parser.parse_args()
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as top:
        root = os.path.join(top, "root")
        programs = [p for p in (put(root, a, arguments.version) for a in arguments.put) if p]
        for link in arguments.link:
            place, target = link.split(":")
            os.makedirs(os.path.dirname(root + place), exist_ok=True)
            os.symlink(target, root + place)
        fill_control(root, arguments.control, arguments, programs)
        for directory, directories, names in os.walk(root):
            os.chmod(directory, 0o755)
            for name in directories + names:
                os.utime(os.path.join(directory, name), (EPOCH, EPOCH), follow_symlinks=False)
        os.utime(root, (EPOCH, EPOCH))
        made = os.path.join(top, "made.deb")
        environment = dict(os.environ, SOURCE_DATE_EPOCH=str(EPOCH))
        run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, made, env=environment)
        shutil.copyfile(made, arguments.out)


if __name__ == "__main__":
    main()
