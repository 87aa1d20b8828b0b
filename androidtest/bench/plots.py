"""Results as a page of plots."""

import math
from xml.sax.saxutils import escape

_INK, _FAINT, _GRID = "#1b2733", "#66727f", "#dfe4e9"
_COLOURS = {
    "bind": "#8a97a5",
    "hp": "#d08a3c",
    "hp-nosplice": "#dba866",
    "hp-off": "#e3c08f",
    "hp-uring": "#b56a1c",
    "mergerfs": "#a0699e",
    "bindfs": "#c39ac1",
    "fused-app": "#1f77b4",
    "fused-app-uring": "#0b4f82",
    "fused-shared": "#4f9fd1",
    "fused-off": "#9cc6e3",
    "fused-policy": "#2a9d8f",
    "fused-posix": "#6a7fd1",
    "fused-posix-uring": "#41529c",
}
_TARGET = "#c0392b"
_WIDTH, _COLUMNS, _ROW = 1180, 3, 13
_LEFT, _RIGHT, _TOP = 8, 52, 26


def _text(x, y, words, size=10, colour=_INK, anchor="start", weight="normal"):
    return '<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s" font-weight="%s">%s</text>' % (
        x, y, size, colour, anchor, weight, escape(words)
    )


def _line(x1, y1, x2, y2, colour=_GRID, width=1.0):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"/>' % (x1, y1, x2, y2, colour, width)


def number(value):
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


class _Panel:
    """A work: a bar for each system, on a logarithmic scale from 1."""

    def __init__(self, title, bars, targets):
        self.title, self.bars, self.targets = title, bars, targets
        values = [bar["q3"] for bar in bars.values()] + list(targets) + [2.0]
        self._high = math.log10(max(values) * 1.1)
        self._low = math.log10(min([0.8] + [bar["q1"] for bar in bars.values()]) * 0.9)
        self.height = _TOP + _ROW * len(bars) + 12

    def draw(self, x, y, width):
        left, right = x + _LEFT + 96, x + width - _RIGHT

        def at(value):
            share = (math.log10(max(value, 1e-3)) - self._low) / (self._high - self._low)
            return left + share * (right - left)

        bottom = y + _TOP + _ROW * len(self.bars)
        out = [_text(x + _LEFT, y + 13, self.title, 11, weight="bold")]
        marks = (0.1, 0.3, 1, 3, 10, 30, 100, 300) if self._high - self._low > 0.8 else (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)
        for mark in marks:
            if self._low <= math.log10(mark) <= self._high:
                out.append(_line(at(mark), y + _TOP - 4, at(mark), bottom, _FAINT if mark == 1 else _GRID))
                out.append(_text(at(mark), bottom + 10, "%g" % mark, 8, _FAINT, "middle"))
        for row, (system, bar) in enumerate(self.bars.items()):
            top = y + _TOP + _ROW * row
            middle = top + _ROW / 2 - 1
            begin, end = sorted((at(1), at(bar["median"])))
            out.append(_text(left - 4, middle + 3, system, 9, _FAINT, "end"))
            out.append(
                '<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>'
                % (begin, top, max(1.5, end - begin), _ROW - 4, _COLOURS.get(system, _FAINT))
            )
            out.append(_line(at(bar["q1"]), middle, at(bar["q3"]), middle, _INK))
            out.append(_text(right + 4, middle + 3, number(bar["median"]), 9))
        for target in self.targets:
            out.append(_line(at(target), y + _TOP - 4, at(target), bottom, _TARGET, 1.2))
        return out


def _panels(result):
    targets = {}
    for row in result["targets"]:
        targets[row["work"]] = (row["measure"], sorted({row["dev"]["target"], row["uring"]["target"]}))
    present = [system["name"] for system in result["systems"] if not system["absent"] and system["name"] != "native"]
    for group in result["groups"]:
        panels = []
        for work in group["works"]:
            measure, marks = targets.get(work["name"], ("time", []))
            figures = result["figures"].get(work["name"], {})
            bars = {name: figures[name][measure] for name in present if name in figures and figures[name][measure]}
            if bars:
                title = work["label"] + (": CPU" if measure == "cpu" else "")
                panels.append(_Panel(title, bars, marks))
        if panels:
            yield group["title"], panels


def frame(width, height, body):
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif">' % (width, height),
            '<rect width="%d" height="%d" fill="white"/>' % (width, height),
            *body,
            "</svg>\n",
        ]
    )


def page(result):
    machine = result["machine"]
    body = [
        _text(_LEFT, 22, "fused and its peers: time of an operation, as a ratio to the native file system", 16, weight="bold"),
        _text(
            _LEFT,
            38,
            "Longer is slower; bar: median of same-round ratios, line in it: quartiles; red: what fused has to reach (dev and "
            "io_uring). Linux %s, %d processors, %s." % (machine["kernel"], machine["cpus"], machine["cpu"]),
            10,
            _FAINT,
        ),
    ]
    y = 58.0
    width = _WIDTH / _COLUMNS
    for title, panels in _panels(result):
        body.append(_text(_LEFT, y + 8, title, 13, weight="bold"))
        body.append(_line(_LEFT, y + 13, _WIDTH - _LEFT, y + 13, _FAINT))
        y += 18
        for begin in range(0, len(panels), _COLUMNS):
            row = panels[begin : begin + _COLUMNS]
            for column, panel in enumerate(row):
                body += panel.draw(column * width, y, width)
            y += max(panel.height for panel in row) + 6
        y += 12
    return frame(_WIDTH, int(y), body)


def curve(title, below, x_label, points, x, y, width, height):
    """Points (x, y) joined, the x axis logarithmic, the y axis from 0."""
    left, right, top, bottom = x + 56, x + width - 24, y + 40, y + height - 34
    out = [_text(x + _LEFT, y + 14, title, 12, weight="bold"), _text(x + _LEFT, y + 28, below, 9, _FAINT)]
    if not points:
        return out + [_text(left, (top + bottom) / 2, "not measured", 10, _FAINT)]
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    most = max(value for _, value in points) * 1.15 or 1

    def place(point):
        share = (math.log10(point[0]) - low) / ((high - low) or 1)
        return left + share * (right - left), bottom - point[1] / most * (bottom - top)

    for step in range(5):
        value = most * step / 4
        out.append(_line(left, bottom - (bottom - top) * step / 4, right, bottom - (bottom - top) * step / 4))
        out.append(_text(left - 4, bottom - (bottom - top) * step / 4 + 3, number(value), 9, _FAINT, "end"))
    path = " ".join("%.1f,%.1f" % place(point) for point in points)
    out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (path, _COLOURS["fused-app"]))
    for point in points:
        px, py = place(point)
        out.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (px, py, _COLOURS["fused-app"]))
        out.append(_text(px, bottom + 12, "{:,}".format(point[0]), 8, _FAINT, "middle"))
        out.append(_text(px, py - 6, number(point[1]), 8, _INK, "middle"))
    out.append(_text((left + right) / 2, bottom + 26, x_label, 9, _FAINT, "middle"))
    return out
