"""A waterfall as a picture: bit error rates on a logarithmic axis over Eb/N0, with their 95 % intervals."""

from __future__ import annotations

import math

import numpy as np

from toolkit.radio.curves import Curve
from toolkit.report.plot import COLOURS, HEIGHT, LEFT, TOP, Frame, escape, paper
from toolkit.report.waterfall import Waterfall, intervals

STEPS = (1, 2, 5, 10)
"""Of the ticks in dB."""
MOST_TICKS = 14
LEAST = 1e-5
"""Bit error rates below this are not drawn."""
THEORY = "#222222"


def waterfall_svg(found: Waterfall) -> str:
    """An SVG: theory as a line, each receiver as points with bars, the RTL as rings around its reference's."""
    curves = (*found.curves, found.rtl)
    rates = [float(rate) for one in curves for rate in one.ber if rate > LEAST]
    low = math.floor(min(float(one.ebn0.min()) for one in curves))
    high = math.ceil(max(float(one.ebn0.max()) for one in curves))
    plot = Decades(low, high, math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates))))
    name, ebn0, ber = found.theory
    parts = [*paper(f"{found.title}: bit error rate over Eb/N0"), *plot.axes(),
             *plot.line(ebn0, ber, THEORY, "4 3"), *plot.named(0, name, THEORY)]
    for i, one in enumerate(curves):
        colour, ring = COLOURS[i % len(COLOURS)], one is found.rtl
        parts += [*([] if ring else plot.line(one.ebn0, one.ber, colour)), *plot.points(one, colour, ring=ring),
                  *plot.named(i + 1, one.name, colour)]
    return "\n".join([*parts, "</svg>", ""])


class Decades(Frame):
    """The axes: dB to the right, log10 of the bit error rate upwards."""

    def place(self, ebn0: float, rate: float) -> tuple[float, float]:
        return self.at(ebn0, math.log10(rate))

    def axes(self) -> list[str]:
        parts = []
        step = next((s for s in STEPS if (self.high - self.low) / s <= MOST_TICKS), STEPS[-1])
        for tick in range(math.ceil(self.low / step) * step, int(self.high) + 1, step):
            x, _ = self.at(tick, self.least)
            parts += [f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{self.floor}" stroke="#dddddd"/>',
                      f'<text x="{x:.1f}" y="{self.floor + 18}" text-anchor="middle">{tick}</text>']
        for power in range(int(self.least), int(self.most) + 1):
            _, y = self.at(self.low, power)
            parts += [f'<line x1="{LEFT}" y1="{y:.1f}" x2="{self.right}" y2="{y:.1f}" stroke="#dddddd"/>',
                      f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">1e{power}</text>']
        middle = (TOP + self.floor) / 2
        turned = f'text-anchor="middle" transform="rotate(-90 16 {middle})"'
        return [*parts, f'<text x="{(LEFT + self.right) / 2}" y="{HEIGHT - 14}" text-anchor="middle">Eb/N0 [dB]</text>',
                f'<text x="16" y="{middle}" {turned}>bit error rate</text>']

    def line(self, ebn0: np.ndarray, rates: np.ndarray, colour: str, dashes: str = "") -> list[str]:
        places = [self.place(float(x), float(y)) for x, y in zip(ebn0, rates, strict=True)
                  if y >= 10.0**self.least and self.low <= x <= self.high]
        look = f'fill="none" stroke="{colour}" stroke-width="1.5"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
        return [f'<polyline {look} points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>']

    def points(self, curve: Curve, colour: str, *, ring: bool) -> list[str]:
        parts = []
        for x, rate, ends, wrong in zip(curve.ebn0, curve.ber, intervals(curve), curve.errors.sum(axis=1), strict=True):
            if rate < 10.0**self.least:
                continue
            across, down = self.place(float(x), float(rate))
            tops = [self.place(float(x), max(end, 10.0**self.least))[1] for end in ends]
            look = f'r="5" fill="none" stroke="{colour}" stroke-width="1.5"' if ring else f'r="3" fill="{colour}"'
            told = f"{curve.name}, {x:g} dB: {rate:.3g} ({ends[0]:.3g} .. {ends[1]:.3g}), {wrong:,} bit errors"
            ends_at = f'x1="{across:.1f}" y1="{tops[0]:.1f}" x2="{across:.1f}" y2="{tops[1]:.1f}"'
            parts += [f'<line {ends_at} stroke="{colour}"/>',
                      f'<circle cx="{across:.1f}" cy="{down:.1f}" {look}><title>{escape(told)}</title></circle>']
        return parts

    def named(self, row: int, name: str, colour: str) -> list[str]:
        """A line of the legend, in the upper right, where no curve goes."""
        x, y = self.right - 12, TOP + 20 + 16 * row
        return [f'<text x="{x}" y="{y}" text-anchor="end" fill="{colour}">{escape(name)}</text>']
