"""Growth with the number of weights: seconds and bytes of RTL of folded networks, and the memory of the largest."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.networks import mlp
from toolkit.commands.generate import generate
from toolkit.design import Design
from toolkit.hardware import Options
from toolkit.report.tables import table

WEIGHTS = (1_000, 10_000, 100_000, 1_000_000)
INPUTS, OUTPUTS = 16, 10
LANES = 64
VECTORS = 20


@dataclass(frozen=True)
class Point:
    """One network: from its design to its project folder, in a process of its own. `peak_bytes` is that process's,
    the libraries and the making of the design included."""

    weights: int
    seconds: float
    rtl_bytes: int
    peak_bytes: int


def network(weights: int) -> Design:
    """A network of about so many weights: two equal hidden layers."""
    ends = INPUTS + OUTPUTS
    hidden = round((math.sqrt(ends * ends + 4 * weights) - ends) / 2)
    return mlp((INPUTS, hidden, hidden, OUTPUTS), levels=7)


def one(weights: int, out: Path) -> Point:
    """Generate in this process."""
    design = network(weights)
    start = time.perf_counter()
    generate(design, out, options=Options(arch="folded", max_lanes=LANES), vectors=VECTORS)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    count = sum(layer.weights.codes.size for layer in design.layers)  # type: ignore[attr-defined]
    return Point(count, seconds, sum(f.stat().st_size for f in (out / "rtl").glob("*.v")), peak)


def measure(out: Path) -> list[Point]:
    """All sizes, each in its own process; growth.txt and growth.svg go to `out`."""
    points = []
    for weights in WEIGHTS:
        command = [sys.executable, "-m", "benchmarks.growth", str(weights), str(out / f"growth_{weights}")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        points.append(Point(**json.loads(done.stdout.splitlines()[-1])))
    rows = [("weights", "seconds", "RTL bytes", "bytes a weight", "peak MiB")]
    rows += [(f"{p.weights:,}", f"{p.seconds:.2f}", f"{p.rtl_bytes:,}", f"{p.rtl_bytes / p.weights:.2f}",
              f"{p.peak_bytes / 2**20:,.0f}") for p in points]
    (out / "growth.txt").write_text("\n".join(table(rows, 5)) + "\n")
    (out / "growth.svg").write_text(picture(points))
    return points


def picture(points: list[Point]) -> str:
    """Both curves over the weights, on logarithmic axes: a straight line of slope 1 is linear growth."""
    curves = (("seconds", "#1f77b4", [p.seconds for p in points]),
              ("RTL megabytes", "#d62728", [p.rtl_bytes / 1e6 for p in points]))
    values = [math.log10(v) for _, _, curve in curves for v in curve]
    low, high = math.floor(min(values)), math.ceil(max(values))
    left, top, right, floor = 60, 50, 620, 360

    def at(weights: float, value: float) -> tuple[float, float]:
        return (left + (math.log10(weights) - 3) / 3.2 * (right - left),
                floor - (math.log10(value) - low) / (high - low) * (floor - top))

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 400" font-family="sans-serif" font-size="12">',
             '<rect width="640" height="400" fill="white"/>',
             '<text x="60" y="24" font-size="16">Generating a folded network: growth with its weights</text>']
    for power in range(3, 7):
        x, _ = at(10**power, 10.0**low)
        parts += [f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{floor}" stroke="#dddddd"/>',
                  f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{10**power:,}</text>']
    for power in range(low, high + 1):
        _, y = at(1000, 10.0**power)
        parts += [f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#dddddd"/>',
                  f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>']
    for i, (name, colour, curve) in enumerate(curves):
        spots = [at(p.weights, v) for p, v in zip(points, curve, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts += [f'<polyline points="{line}" fill="none" stroke="{colour}"/>',
                  *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in spots),
                  f'<text x="{left + 12}" y="{top + 16 + 18 * i}" fill="{colour}">{name}</text>']
    return "\n".join([*parts, f'<text x="{(left + right) / 2}" y="394" text-anchor="middle">weights</text>', "</svg>",
                      ""])


if __name__ == "__main__":
    print(json.dumps(asdict(one(int(sys.argv[1]), Path(sys.argv[2])))))
