"""The report as a picture: what each step kept of the accuracy, against the bytes that it needs."""

from __future__ import annotations

import math
from html import escape as _escape

from toolkit.compress.sweep import Sweep
from toolkit.report.choices import pareto
from toolkit.report.report import Report
from toolkit.utils.printable import printable


def escape(text: str) -> str:
    return _escape(printable(text))


WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 860, 420, 64, 48, 56
COLOURS = ("#1f5fa8", "#c2571a", "#2f8f5b", "#8a3fa0", "#a8322f", "#556677")


def _doublings(size: int) -> float:
    """Where a size stands on the axis; a network without weights takes no byte."""
    return math.log2(max(size, 1))


def svg(report: Report) -> str | None:
    """An SVG of accuracy over size, one line a network; None where nothing has an accuracy."""
    series = [(n, [s for s in n.steps if s.accuracy is not None]) for n in report.networks]
    points = [s for _, steps in series for s in steps]
    if not points:
        return None
    sizes = [_doublings(s.size) for s in points]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))
    least = max(min(s.accuracy or 0 for s in points) - 0.02, 0.0)
    plot = Frame(low, max(high, low + 1), least, 1.0)
    parts = [*paper(f"{report.title}: test accuracy over size"), *plot.axes()]
    for i, (network, steps) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        places = [plot.at(_doublings(s.size), s.accuracy or 0.0) for s in steps]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" '
                     f'points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(s.name)}: {s.size} bytes, '
                  f'{100 * (s.accuracy or 0):.2f} %</title></circle>'
                  for (x, y), s in zip(places, steps, strict=True)]
        parts.append(f'<text x="{plot.right - 300}" y="{HEIGHT - BOTTOM - 12 - 16 * i}" fill="{colour}">'
                     f'{escape(network.name)}: {escape(network.scheme)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def sweep_svg(sweep: Sweep) -> str | None:
    """An SVG of every row, a colour for each category, the Pareto set joined; None where nothing has an accuracy."""
    rows = [(row, row.step) for row in sweep.good if row.step is not None and row.step.accuracy is not None]
    if not rows:
        return None
    sizes = [_doublings(step.size) for _, step in rows] + [_doublings(sweep.original.size)]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))
    plot = Frame(low, max(high, low + 1), max(min(s.accuracy or 0 for _, s in rows) - 0.02, 0.0), 1.0)
    parts = [*paper("compression: test accuracy over size"), *plot.axes()]
    front = [plot.at(_doublings(r.step.size), r.step.accuracy or 0.0) for r in pareto(sweep) if r.step is not None]
    parts.append('<polyline fill="none" stroke="#999999" stroke-dasharray="4 3" points="'
                 + " ".join(f"{x:.1f},{y:.1f}" for x, y in front) + '"/>')
    kinds = sorted({row.category for row, _ in rows})
    for row, step in rows:
        x, y = plot.at(_doublings(step.size), step.accuracy or 0.0)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[kinds.index(row.category)]}">'
                     f"<title>{escape(row.name)}: {step.size} bytes, {100 * (step.accuracy or 0):.2f} %</title>"
                     "</circle>")
    parts += [f'<text x="{plot.right - 120}" y="{HEIGHT - BOTTOM - 12 - 16 * i}" fill="{COLOURS[i]}">{kind}</text>'
              for i, kind in enumerate(kinds)]
    return "\n".join([*parts, "</svg>", ""])


def paper(title: str) -> list[str]:
    """The head of a picture."""
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="12">')
    return [head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>']


class Frame:
    """The axes: log2 of bytes to the right, accuracy upwards."""

    def __init__(self, low: float, high: float, least: float, most: float) -> None:
        self.low, self.high, self.least, self.most = low, high, least, most
        self.right, self.floor = WIDTH - 24, HEIGHT - BOTTOM

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (LEFT + (x - self.low) / (self.high - self.low) * (self.right - LEFT),
                self.floor - (y - self.least) / (self.most - self.least) * (self.floor - TOP))

    def axes(self) -> list[str]:
        parts = []
        for power in range(int(self.low), int(self.high) + 1):
            x, _ = self.at(power, self.least)
            label = f"{2**power} B" if power < 10 else f"{2**(power - 10)} KiB"
            parts += [f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{self.floor}" stroke="#dddddd"/>',
                      f'<text x="{x:.1f}" y="{self.floor + 18}" text-anchor="middle">{label}</text>']
        for i in range(6):
            value = self.least + (self.most - self.least) * i / 5
            _, y = self.at(self.low, value)
            parts += [f'<line x1="{LEFT}" y1="{y:.1f}" x2="{self.right}" y2="{y:.1f}" stroke="#dddddd"/>',
                      f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * value:.0f} %</text>']
        parts.append(f'<text x="{(LEFT + self.right) / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
                     'bytes of the parameters</text>')
        return parts
