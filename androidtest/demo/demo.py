#!/usr/bin/env python3
"""Mounts a tree of media files, lets four apps at it, and measures.

Needs root. Takes a folder of media files of your own as an argument; without
one it makes some. Nothing is left mounted, and no file.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # the directory is the source tree

import media
from lab import Failed, Lab

CAMERA, GALLERY, STRANGER, FILES = (
    "com.demo.camera",
    "com.demo.gallery",
    "com.demo.stranger",
    "com.demo.files",
)
UIDS = {CAMERA: 10100, GALLERY: 10101, STRANGER: 10102, FILES: 10103}
RIGHTS = {
    CAMERA: "no permission; it takes the photo below",
    GALLERY: "READ_MEDIA_IMAGES, ACCESS_MEDIA_LOCATION",
    STRANGER: "no permission",
    FILES: "MANAGER (all files access)",
}
APPS = """
version: 1
apps { package: "com.demo.camera" uid: 10100 target_sdk: 34 }
apps {
  package: "com.demo.gallery" uid: 10101 target_sdk: 34
  permissions: "READ_MEDIA_IMAGES" permissions: "ACCESS_MEDIA_LOCATION"
}
apps { package: "com.demo.stranger" uid: 10102 target_sdk: 34 }
apps { package: "com.demo.files" uid: 10103 target_sdk: 34 roles: MANAGER }
"""

PHOTO = "DCIM/Camera/IMG_0001.jpg"
SECRET = "Android/data/com.demo.camera/files/settings.bin"
KINDS = {
    "Pictures": (".jpg", ".jpeg", ".png", ".webp", ".heic", ".gif"),
    "Music": (".mp3", ".wav", ".flac", ".ogg", ".m4a"),
    "Movies": (".mp4", ".mkv", ".webm", ".mov", ".avi"),
    "Download": (".pdf", ".txt", ".epub"),
}
MADE = {
    "Pictures/Holiday.png": media.png,
    "Music/Tone.wav": media.wav,
    "Movies/Waves.mp4": media.mp4,
    "Download/Manual.pdf": media.pdf,
}
SERVED = {
    "PASSTHROUGH": "by the kernel",
    "REDACTED": "by the daemon, redacted",
    "DAEMON": "by the daemon",
}
MIB = 1 << 20
# /usr/bin, since an app cannot be expected to see the starting user's own.
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]


def put(lower, path, data):
    path = os.path.join(lower, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def copy_folder(folder, lower, limit):
    """Copies media files into their collections; returns one of each."""
    sample = {}
    for directory, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            source = os.path.join(directory, name)
            extension = os.path.splitext(name)[1].lower()
            for collection, extensions in KINDS.items():
                target = os.path.join(collection, name)
                if extension not in extensions or os.path.lexists(os.path.join(lower, target)):
                    continue
                limit -= os.path.getsize(source)
                if limit < 0:
                    return sample
                os.makedirs(os.path.join(lower, collection), exist_ok=True)
                shutil.copyfile(source, os.path.join(lower, target))
                sample.setdefault(collection, target)
    return sample


def fill(lab, folder):
    """Fills the lower tree, as it was before the daemon came; returns one file
    of each collection."""
    put(lab.lower, SECRET, os.urandom(100))
    sample = copy_folder(folder, lab.lower, 512 * MIB) if folder else {}
    for path, make in MADE.items():
        collection = path.partition("/")[0]
        if collection not in sample:
            put(lab.lower, path, make())
            sample[collection] = path
    return sample


def take_photo(lab):
    """A file belongs to the app that makes it: so the camera has to."""
    taken = lab.run(
        CAMERA, "/bin/sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "camera", os.path.join(lab.mount, PHOTO), text=False
    )
    _, errors = taken.communicate(media.jpeg())
    if taken.returncode != 0:
        raise Failed("the camera cannot take its photo: " + errors.decode())


def with_source(*arguments):
    here = os.path.dirname(os.path.abspath(os.path.realpath(__file__)))
    with open(os.path.join(here, "act.py")) as source:
        return PYTHON + [source.read(), *arguments]


def line_of(package, child):
    line = child.stdout.readline()
    if not line:
        raise Failed("%s: %s" % (package, child.communicate()[1].strip()))
    return json.loads(line)


def asked_of(package, sample):
    """What every app tries, as (what, path)."""
    return [
        ("read", PHOTO),
        ("write", PHOTO),
        ("read", sample["Pictures"]),
        ("read", sample["Music"]),
        ("read", sample["Download"]),
        ("read", SECRET),
        ("create", "Pictures/by_%s.png" % package.rpartition(".")[2]),
        ("create", "Pictures/by_%s.txt" % package.rpartition(".")[2]),
    ]


def served(handles, package, what, path):
    """Returns how the daemon says that it serves an open file, and by which
    rule it was opened."""
    for handle in handles:
        if handle["package"] == package and handle["path"].lstrip("/") == path:
            if handle["write"] == (what != "read") and not handle["directory"]:
                return handle["io"], handle["rule"]
    raise Failed("no handle of %s on %s" % (package, path))


def show_rights(lab, sample):
    """Lets the four apps at the files, all at once, and prints the table.

    Returns the number of rows where `explain` says other than what happened.
    """
    running = {
        package: lab.run(package, *with_source(lab.mount, json.dumps(asked_of(package, sample))))
        for package in UIDS
    }
    results = {package: line_of(package, child) for package, child in running.items()}
    handles = lab.ask("handles")["handles"]
    wrong = 0
    for number in range(len(asked_of(CAMERA, sample))):
        what, path = asked_of("com.demo.APP", sample)[number]
        print("\n  %s %s" % (what, path))
        for package, uid in UIDS.items():
            what, path = asked_of(package, sample)[number]
            result = results[package][number]
            said = lab.ask("explain", "--uid=%d" % uid, "--op=" + what.upper(), path)
            if result == "ok":
                io, rule = served(handles, package, what, path)
                if what == "create":
                    rule = said["rule"]  # the handle's is that of writing what was made
                how, agrees = SERVED[io], said["verdict"] == "ALLOW" and said["rule"] == rule
            else:
                how, rule = "", said["rule"]
                agrees = said["verdict"] == "DENY" and said["error"] == result
            wrong += not agrees
            print(
                "    %-9s %-7s %-24s %s%s"
                % (
                    package.rpartition(".")[2],
                    "yes" if result == "ok" else result,
                    how,
                    rule or "(no rule: denied)",
                    "" if agrees else "   explain says: " + json.dumps(said),
                )
            )
    for package, child in running.items():
        _, errors = child.communicate("\n")
        if child.returncode != 0:
            raise Failed("%s: %s" % (package, errors.strip()))
    return wrong


def counted(lab):
    requests = lab.ask("status")["volumes"][0]["requests"]
    return {name: int(requests.get(name, 0)) for name in ("READ", "WRITE")}


def rate(child):
    out, errors = child.communicate()
    if child.returncode != 0:
        raise Failed("measuring: " + errors.strip())
    return json.loads(out)


def measure(lab, name, size, rounds):
    """As the file manager; returns (name, write rate, read rate, requests)."""
    before = counted(lab)
    work = ["rate", "Download/large.bin", size, rounds]
    rates = rate(lab.run(FILES, *with_source(lab.mount, json.dumps(work))))
    after = counted(lab)
    return name, rates, {key: after[key] - before[key] for key in after}


def measure_native(lab, size, rounds):
    work = ["rate", "Download/native.bin", size, rounds]
    child = subprocess.Popen(
        with_source(lab.lower, json.dumps(work)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return "lower file", rate(child), None


def show_rates(rows, size, rounds):
    print("\n%d MiB written and read, %d times, 1 MiB at once; the best:\n" % (size // MIB, rounds))
    print("  %-16s %12s %12s %10s %10s" % ("", "write MiB/s", "read MiB/s", "WRITEs", "READs"))
    for name, (write, read), requests in rows:
        print(
            "  %-16s %12.0f %12.0f %10s %10s"
            % (
                name,
                write / MIB,
                read / MIB,
                "-" if requests is None else requests["WRITE"],
                "-" if requests is None else requests["READ"],
            )
        )
    print("\n(WRITEs and READs: requests that reached the daemon.)")


def demo(options):
    size = options.size * MIB
    with Lab(os.path.abspath(options.fused), os.path.abspath(options.fusedctl), 4 * size) as lab:
        sample = fill(lab, options.folder)
        apps = os.path.join(lab.top, "apps.textproto")
        with open(apps, "w") as out:
            out.write(APPS)
        lab.start("--apps=" + apps)
        status = lab.ask("status")
        volume = status["volumes"][0]
        print("%s shows %s." % (volume["mount"], volume["lower"]))
        print("Policy: %s, version %s." % (status["policy"]["name"], status["policy"]["version"]))
        if not volume["passthrough"]:
            print("No passthrough here: %s. The daemon serves every file." % volume["passthrough_reason"])
        print("\nFour apps, each with its own view of it:")
        for package, uid in UIDS.items():
            print("  %-9s uid %d  %s" % (package.rpartition(".")[2], uid, RIGHTS[package]))
        print("\nWhat happens when they open files, and the rule that decided:")
        take_photo(lab)
        wrong = show_rights(lab, sample)
        rows = [measure_native(lab, size, options.rounds)]
        rows.append(measure(lab, "passthrough", size, options.rounds))
        lab.stop()
        lab.start("--apps=" + apps, "--passthrough=off")
        rows.append(measure(lab, "daemon-served", size, options.rounds))
        lab.stop()
        show_rates(rows, size, options.rounds)
    print("\nUnmounted, and all files removed.")
    if wrong:
        raise Failed("%d answers differ from what `fusedctl explain` says." % wrong)


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="media files to show instead of made ones (copied)")
    parser.add_argument("--fused", default="fused/fused", help=argparse.SUPPRESS)
    parser.add_argument("--fusedctl", default="fused/fusedctl", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of the large file (default: 256)")
    parser.add_argument("--rounds", type=int, default=3, help="of writing and reading it (default: 3)")
    options = parser.parse_args()
    if options.folder:
        # `bazel run` starts elsewhere than the reader did.
        options.folder = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), options.folder)
        if not os.path.isdir(options.folder):
            parser.error("no such folder: " + options.folder)
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        sys.exit("demo: mounting needs root and /dev/fuse")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        demo(options)
    except Failed as failure:
        sys.exit("demo: %s" % failure)
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; unmounted, and all files removed")


if __name__ == "__main__":
    main()
