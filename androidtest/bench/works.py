"""What is measured, and with what files."""

import dataclasses
import os

# Sizes of the sets of files, as the works below go round them.
SET = 2000
TREE_FILES = 8000
# A quick run has smaller trees and listings.
QUICK_DIVISOR = 20
APPS = 16
EACH = 64
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Work:
    """One row. `ruler` is the ruler's word for it, `fields` go to the ruler,
    `path` is below the works' directory. `count` 0 is: for so long as a sample
    takes. In `arguments`, {place} and {top} are replaced."""

    name: str
    label: str
    ruler: str
    path: str = ""
    fields: tuple = ()
    count: int = 0
    arguments: tuple = ()
    # Operations of an untimed run before each sample; where it is but one,
    # before the first.
    warm: int = 64
    # A command before each sample, untimed.
    before: tuple = ()
    # The kernel forgets names before each sample: passthrough_hp holds a
    # descriptor for each that it knows.
    forget: bool = False
    unit: str = "µs"
    symlinks: bool = False
    # How many apps do it at once.
    apps: int = 1
    fio: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """Works that need the same files. `chains` are run one after the other; the
    works of a chain need each other."""

    name: str
    title: str
    ground: str
    chains: tuple
    # Files drop out of the caches before each chain, and the lower ones come
    # back in.
    cold: bool = False
    # On those systems alone; empty: on all.
    systems: tuple = ()
    # Rounds are as many for each of those that are asked for.
    share: float = 1


def single(name, label, ruler, path="", count=0, warm=64, symlinks=False, **fields):
    return (Work(name, label, ruler, path, tuple(fields.items()), count, warm=warm, symlinks=symlinks),)


def command(name, label, *arguments, before=(), warm=0, forget=False):
    return Work(name, label, "exec", count=1, arguments=arguments, before=before, warm=warm, forget=forget, unit="ms")


ONE = "set/f0000000"
OPERATIONS = (
    single("open", "open+close, one file", "open", ONE),
    single("open_read", "open+read 4 KiB+close, one file", "open_read", ONE),
    single("open_set", "open+close, 2,000 files", "open", "set", set=SET, warm=SET),
    single("open_read_set", "open+read 4 KiB+close, 2,000 files", "open_read", "set", set=SET),
    single("open_read_2", "the same, 2 threads", "open_read", "set", set=SET, threads=2),
    single("stat", "stat, 2,000 files warm", "stat", "set", set=SET, warm=SET),
    single("missing", "stat of missing names, warm", "missing", "set", set=SET, warm=SET),
    single("fresh", "stat of missing names, fresh", "fresh", "set"),
    single("pread", "pread 4 KiB, open file", "pread", "big", size=16 * MIB),
    single("pwrite", "pwrite 4 KiB, open file", "pwrite", "big", size=16 * MIB),
    single("pwrite_fstat", "pwrite 4 KiB+fstat, open file", "pwrite_fstat", "big", size=16 * MIB),
    single("access", "access", "access", "set", set=SET),
    single("getxattr", "getxattr (absent)", "getxattr", "set", set=SET),
    single("readlink", "readlink", "readlink", "links", set=SET, warm=SET, symlinks=True),
    single("list", "readdir 20,000 names, again", "list", "list20k", warm=1),
    single("list_stat", "readdir+stat 10,000 names, again", "list_stat", "list10k", warm=1),
    (command("ls", "ls -l 10,000 names, again", "ls", "-l", "{place}/list10k", warm=1),),
)
# One chain, of different files: each is read for the first time.
COLD = (
    single("list_cold", "readdir 20,000 names, first", "list", "list20k", count=1, warm=0)
    + (command("ls_cold", "ls -l 10,000 names, first", "ls", "-l", "{place}/list10k"),)
    + single("stat_cold", "stat, 2,000 files, first", "stat", "set", set=SET, count=SET, warm=0)
    + single("open_read_cold", "open+read 4 KiB+close, 2,000 files, first", "open_read", "set2", set=SET, count=SET, warm=0),
)


# Of files that are there.
FILE_CHANGES = (
    single("open_write", "open+pwrite 4 KiB+close, one file", "open_write", ONE),
    single("chmod", "chmod", "chmod", "set", set=SET, warm=SET),
    single("utimes", "utimensat", "utimes", "set", set=SET, warm=SET),
)


def changes(ops):
    """Chains that change files, and that make names and take them away. Those
    who watch a file system are told of them: each system has its own (tmpfs)."""

    def one(name, label, ruler, symlinks=False, count=ops, **fields):
        return Work(name, label, ruler, "new", tuple(fields.items()), count, warm=0, symlinks=symlinks)

    return (
        *FILE_CHANGES,
        (
            one("create", "create+write 4 KiB+close", "create"),
            one("rename", "rename", "rename"),
            one("unlink", "unlink", "unlink"),
        ),
        (
            one("create_2", "create+write 4 KiB+close, 2 threads", "create", threads=2),
            one("rename_2", "rename, 2 threads", "rename", threads=2),
            one("unlink_2", "unlink, 2 threads", "unlink", threads=2),
        ),
        (
            one("mkdir", "mkdir", "mkdir", count=ops // 2),
            one("rmdir", "rmdir", "rmdir", count=ops // 2),
        ),
        (
            one("symlink", "symlink", "symlink", True, count=ops // 2),
            one("unlink_symlink", "unlink of a symlink", "unlink_symlink", True, count=ops // 2),
        ),
    )


CLEAN = ("find", "{place}/synth", "-name", "*.o", "-delete")
GIT = ("git", "-C", "{place}/repo", "status", "--porcelain")
TREES = (
    (
        command(
            "tar",
            "tar x, 8,000 files",
            *("tar", "-xf", "{top}/tree.tar", "-C", "{place}", "--no-same-owner", "--no-same-permissions"),
            forget=True,
        ),
        command("find", "find -size", "find", "{place}/tree", "-size", "+4000k"),
        command("grep", "grep -r", "grep", "-rL", "a", "{place}/tree"),
        command("cp", "cp -r, 8,000 files", "cp", "-r", "{place}/tree", "{place}/copy"),
        command("rm", "rm -rf, 2x8,000 files", "rm", "-rf", "{place}/tree", "{place}/copy"),
    ),
    (command("git", "git status", *GIT, before=GIT),),
    (
        command("make", "make -j2, header heavy", "make", "-s", "-j2", "-C", "{place}/synth", before=CLEAN),
        command("make_again", "make, nothing to do", "make", "-s", "-C", "{place}/synth"),
    ),
)
MANY = (
    (
        Work("many_read", "16 apps: open+read 4 KiB+close", "open_read", "many/{app}", (("set", EACH),), apps=APPS),
    ),
    (
        Work("many_create", "16 apps: create+write 4 KiB+close", "create", "many/{app}", (), 100, warm=0, apps=APPS),
        Work("many_rename", "16 apps: rename", "rename", "many/{app}", (), 100, warm=0, apps=APPS),
        Work("many_unlink", "16 apps: unlink", "unlink", "many/{app}", (), 100, warm=0, apps=APPS),
    ),
)


def fio(name, label, rw, engine="psync", direct=False, depth=1, megabytes=0):
    """For a time, or for so many bytes and then an fsync."""
    arguments = [
        "fio",
        "--output-format=json",
        "--name=work",
        "--filename={place}/fio",
        "--size=32m",
        "--bs=4k",
        "--rw=" + rw,
        "--ioengine=" + engine,
        "--iodepth=%d" % depth,
        "--direct=%d" % direct,
        "--thread",
        "--overwrite=1",
        "--invalidate=0",
        "--allow_file_create=0",
        "--randrepeat=1",
    ]
    if megabytes:
        arguments += ["--io_size=%dm" % megabytes, "--end_fsync=1"]
    else:
        arguments += ["--time_based", "--runtime=200ms"]
    return (Work(name, label, "exec", count=1, arguments=tuple(arguments), warm=0, fio=rw.replace("rand", "")),)


FIO = (
    fio("fio_read", "fio read, cached", "read"),
    fio("fio_randread", "fio randread, cached", "randread"),
    fio("fio_write", "fio write, fsync at the end", "write", megabytes=96),
    fio("fio_randwrite", "fio randwrite, fsync at the end", "randwrite", megabytes=96),
    fio("fio_mmap", "fio read, mmap", "read", engine="mmap"),
    fio("fio_mmap_random", "fio randread, mmap", "randread", engine="mmap"),
    fio("fio_read_direct", "fio read, direct", "read", direct=True),
    fio("fio_randread_direct", "fio randread, direct", "randread", direct=True),
    fio("fio_write_direct", "fio write, direct", "write", direct=True, megabytes=8),
    fio("fio_randwrite_direct", "fio randwrite, direct", "randwrite", direct=True, megabytes=8),
    fio("fio_libaio", "fio randread, libaio, depth 16, direct", "randread", "libaio", True, 16),
    fio("fio_libaio_write", "fio randwrite, libaio, depth 16, direct", "randwrite", "libaio", True, 16, 16),
    fio("fio_io_uring", "fio randread, io_uring, depth 16, direct", "randread", "io_uring", True, 16),
)
# Where there is no fio: the ruler's own.
WITHOUT_FIO = (
    single("fio_read", "pread, cached", "pread", "fio", size=32 * MIB),
    single("fio_randread", "pread at random, cached", "pread", "fio", size=32 * MIB, random=1),
    single("fio_write", "pwrite", "pwrite", "fio", size=32 * MIB),
    single("fio_randwrite", "pwrite at random", "pwrite", "fio", size=32 * MIB, random=1),
    single("fio_mmap", "read, mapped", "mapped", "fio", size=32 * MIB),
    single("fio_mmap_random", "read at random, mapped", "mapped", "fio", size=32 * MIB, random=1),
)

MAIN = ("native", "hp", "hp-uring", "mergerfs", "fused-app", "fused-app-uring", "fused-shared")
SERVED = ("native", "hp", "mergerfs", "fused-app", "fused-app-uring", "fused-off")
TOGETHER = ("native", "hp", "hp-uring", "fused-app", "fused-app-uring", "fused-shared")


def tree_files(quick):
    return TREE_FILES // QUICK_DIVISOR if quick else TREE_FILES


def all_groups(quick, full, has_fio):
    limited = (lambda systems: ()) if full else (lambda systems: systems)
    return (
        Group("operations", "Single operations and listing, warm", "disk", OPERATIONS),
        Group("fio", "fio, 4 KiB", "disk", FIO if has_fio else WITHOUT_FIO, systems=limited(SERVED), share=0.5),
        Group("cold", "First time: the kernel's caches of the mount are empty", "disk", COLD, cold=True, systems=limited(MAIN), share=0.5),
        Group("changes", "Changes", "tmpfs", changes(200 if quick else 1000)),
        Group("many", "Many apps at once", "tmpfs", MANY, systems=limited(TOGETHER)),
        Group("trees", "Trees and compiling", "tmpfs", TREES, systems=limited(MAIN), share=0.5),
    )


def selected(groups, pattern):
    """The groups with those chains that have a work of that name."""
    kept = []
    for group in groups:
        chains = tuple(
            chain for chain in group.chains if any(pattern.fullmatch(word) for work in chain for word in (work.name, group.name))
        )
        if chains:
            kept.append(dataclasses.replace(group, chains=chains))
    return kept


def on_path(work, place, app=0):
    return os.path.join(place, work.path.replace("{app}", str(app)))
