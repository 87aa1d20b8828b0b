"""Draws what a daemon does, from its metrics, as SVG.

    draw.py --fusedctl=FUSEDCTL --control=SOCKET [--samples=60] > fused.svg

asks for the metrics once a second. It needs nothing but Python: a picture for
where there is no Grafana.
"""

import argparse
import re
import subprocess
import sys
import time
from xml.sax.saxutils import escape

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
COLOURS = ["#2b6cb0", "#c05621", "#2f855a", "#b83280", "#6b46c1", "#b7791f", "#2c7a7b", "#4a5568"]
PANEL_WIDTH, PANEL_HEIGHT, GAP = 430, 210, 20
MOST_LINES = 6


def parse(text):
    """Samples as {name: [(labels, value)]}."""
    samples = {}
    for line in text.splitlines():
        match = SAMPLE.match(line)
        if match:
            labels = dict(LABEL.findall(match.group(2) or ""))
            samples.setdefault(match.group(1), []).append((labels, float(match.group(3))))
    return samples


def totals(samples, name, by, **only):
    """Sums of a metric by a label."""
    result = {}
    for labels, value in samples.get(name, []):
        if all(labels.get(k) == v for k, v in only.items()):
            key = " ".join(filter(None, (labels.get(b, "") for b in by))) or "(none)"
            result[key] = result.get(key, 0) + value
    return result


def rates(run, name, by, **only):
    """Changes per second, as {key: [(time, rate)]}."""
    lines = {}
    for (before_time, before), (now_time, now) in zip(run, run[1:]):
        old = totals(before, name, by, **only)
        for key, value in totals(now, name, by, **only).items():
            rate = (value - old.get(key, 0)) / (now_time - before_time)
            lines.setdefault(key, []).append((now_time - run[0][0], rate))
    return lines


def quantiles(run, part):
    """A quantile of the time of each opcode, in microseconds, per sample."""
    name = "fused_request_duration_seconds_bucket"
    lines = {}
    for (_, before), (now_time, now) in zip(run, run[1:]):
        old = totals(before, name, ["opcode", "le"])
        buckets = {}
        for labels, value in now.get(name, []):
            key = labels["opcode"] + " " + labels["le"]
            buckets.setdefault(labels["opcode"], []).append(
                (float(labels["le"]), value - old.get(key, 0)))
        for opcode, pairs in buckets.items():
            count = pairs[-1][1]
            if count <= 0:
                continue
            lower, below = 0.0, 0.0
            for bound, upto in pairs:
                if upto >= part * count:
                    inside = (part * count - below) / max(upto - below, 1e-9)
                    value = lower + (bound - lower) * inside if bound != float("inf") else lower
                    lines.setdefault(opcode, []).append((now_time - run[0][0], value * 1e6))
                    break
                lower, below = bound, upto
    return lines


def gauges(run, names):
    lines = {}
    for name, title in names:
        lines[title] = [
            (when - run[0][0], sum(v for _, v in samples.get(name, []))) for when, samples in run
        ]
    return lines


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def draw_panel(out, x, y, title, unit, lines, seconds):
    busiest = sorted(lines.items(), key=lambda one: -max(v for _, v in one[1]))
    busiest = [one for one in busiest if max(v for _, v in one[1]) > 0][:MOST_LINES]
    top = max([v for _, points in busiest for _, v in points] or [1]) * 1.05
    left, right, base, head = x + 48, x + PANEL_WIDTH - 8, y + PANEL_HEIGHT - 62, y + 30
    out.append(f'<rect x="{x}" y="{y}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" rx="4" '
               'fill="#fff" stroke="#cbd5e0"/>')
    out.append(f'<text x="{x + 10}" y="{y + 19}" font-weight="bold">{escape(title)}</text>')
    for i in range(5):
        height = base - (base - head) * i / 4
        out.append(f'<line x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}" '
                   'stroke="#edf2f7"/>')
        out.append(f'<text x="{left - 4}" y="{height + 3:.1f}" text-anchor="end" '
                   f'font-size="9" fill="#718096">{short(top * i / 4)}</text>')
    out.append(f'<text x="{right}" y="{y + 19}" text-anchor="end" font-size="9" '
               f'fill="#718096">{escape(unit)}</text>')
    for (key, points), colour in zip(busiest, COLOURS):
        path = " ".join(
            f"{left + (right - left) * t / seconds:.1f},{base - (base - head) * v / top:.1f}"
            for t, v in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                   'stroke-width="1.5"/>')
    for i, ((key, _), colour) in enumerate(zip(busiest, COLOURS)):
        at_x, at_y = x + 12 + i % 2 * (PANEL_WIDTH // 2), base + 18 + i // 2 * 14
        out.append(f'<rect x="{at_x}" y="{at_y - 8}" width="9" height="9" fill="{colour}"/>')
        name = key if len(key) <= 34 else key[:33] + "…"
        out.append(f'<text x="{at_x + 13}" y="{at_y}" font-size="10">{escape(name)}</text>')


def draw(run):
    seconds = run[-1][0] - run[0][0]
    panels = [
        ("Requests by opcode", "per second", rates(run, "fused_requests_total", ["opcode"])),
        ("Requests by app", "per second",
         rates(run, "fused_app_requests_total", ["uid", "package"])),
        ("Latency, median", "µs", quantiles(run, 0.5)),
        ("Latency, 99 of 100", "µs", quantiles(run, 0.99)),
        ("Opens by how they are served", "per second", rates(run, "fused_opens_total", ["io"])),
        ("Denied, by rule", "per second",
         rates(run, "fused_decisions_total", ["rule"], verdict="DENY")),
        ("What is held", "", gauges(run, [("fused_handles", "handles"), ("fused_nodes", "nodes"),
                                          ("fused_backing_ids", "backing ids"),
                                          ("fused_views", "app views")])),
        ("Audit records and processors", "per second",
         {**rates(run, "fused_audit_records_total", []),
          **rates(run, "fused_cpu_seconds_total", ["mode"])}),
    ]
    panels[-1][2]["audit records"] = panels[-1][2].pop("(none)", [(0, 0)])
    rows = (len(panels) + 1) // 2
    width, height = 2 * PANEL_WIDTH + 3 * GAP, rows * (PANEL_HEIGHT + GAP) + GAP
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#f7fafc"/>']
    for i, (title, unit, lines) in enumerate(panels):
        draw_panel(out, GAP + i % 2 * (PANEL_WIDTH + GAP), GAP + i // 2 * (PANEL_HEIGHT + GAP),
                   title, unit, lines, seconds)
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fusedctl", default="fusedctl")
    parser.add_argument("--control", default="/run/fused/control.sock")
    parser.add_argument("--samples", type=int, default=60)
    arguments = parser.parse_args()
    run = []
    for i in range(arguments.samples + 1):
        text = subprocess.run(
            [arguments.fusedctl, "--control=" + arguments.control, "metrics"],
            check=True, capture_output=True, text=True).stdout
        run.append((time.monotonic(), parse(text)))
        if i < arguments.samples:
            time.sleep(1)
    sys.stdout.write(draw(run))


if __name__ == "__main__":
    main()
