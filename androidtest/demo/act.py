"""What an app of the demo does; its source is given to python3 -c.

Arguments: DIRECTORY, then a JSON list. Of requests, [["read", PATH], ...]: all
are made, the results are written as one line of JSON and what was opened stays
open until a line (or the end) of standard input. Or of rates, ["rate", PATH,
BYTES, ROUNDS]: the file is written and read, and removed.
"""

import errno
import json
import os
import sys
import time

_FLAGS = {
    "read": os.O_RDONLY,
    "write": os.O_WRONLY,
    "create": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}
_BLOCK = 1 << 20


def requests(top, wanted):
    results, held, made = [], [], []
    for what, path in wanted:
        path = os.path.join(top, path)
        try:
            descriptor = os.open(path, _FLAGS[what], 0o660)
        except OSError as error:
            results.append(errno.errorcode[error.errno])
            continue
        results.append("ok")
        held.append(descriptor)
        if what == "create":
            made.append(path)
        elif what == "read":
            os.read(descriptor, 4096)
    print(json.dumps(results), flush=True)
    sys.stdin.readline()
    for descriptor in held:
        os.close(descriptor)
    for path in made:
        os.unlink(path)


def _pass(descriptor, size, step):
    start = time.monotonic()
    for offset in range(0, size, _BLOCK):
        if step(descriptor, offset) != _BLOCK:
            raise OSError("a short read or write")
    return size / (time.monotonic() - start)


def rates(path, size, rounds):
    block = bytearray(os.urandom(_BLOCK))
    inside = [bytearray(_BLOCK)]
    written, read = [], []
    for _ in range(rounds):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660)
        written.append(_pass(descriptor, size, lambda d, at: os.pwrite(d, block, at)))
        os.close(descriptor)
        descriptor = os.open(path, os.O_RDONLY)
        read.append(_pass(descriptor, size, lambda d, at: os.preadv(d, inside, at)))
        os.close(descriptor)
        if inside[0] != block:
            raise OSError("other bytes were read than were written")
        os.unlink(path)
    print(json.dumps([max(written), max(read)]), flush=True)


def main():
    top, work = sys.argv[1], json.loads(sys.argv[2])
    if work[0] == "rate":
        rates(os.path.join(top, work[1]), work[2], work[3])
    else:
        requests(top, work)


main()
