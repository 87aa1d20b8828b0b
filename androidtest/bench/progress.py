"""How far it is, where someone looks on."""

import sys
import time

_WIDTH = 28


class Progress:
    def __init__(self, steps, stream=sys.stderr):
        self._steps, self._done = steps, 0
        self._stream = stream
        self._shown = stream.isatty()
        self._begun = time.monotonic()

    def step(self, what):
        """Says what is about to be done."""
        if self._shown:
            share = min(1, self._done / max(1, self._steps))
            spent = time.monotonic() - self._begun
            left = "%4d s left" % (spent / share - spent) if self._done > 20 else ""
            bar = "#" * int(share * _WIDTH)
            self._stream.write("\r\x1b[K[%-*s] %3d%% %s  %s" % (_WIDTH, bar, share * 100, left, what))
            self._stream.flush()
        self._done += 1

    def say(self, text):
        """A line that stays."""
        self._stream.write(("\r\x1b[K" if self._shown else "") + text + "\n")
        self._stream.flush()

    def close(self):
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
