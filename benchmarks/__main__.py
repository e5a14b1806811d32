"""`python -m benchmarks -o DIR`: every goal, measured, beside the peers; exit code 1 where one is missed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import accuracy, c, cnn, compression, folded, hardware, hls, mnist, reference, searched, students
from benchmarks.results import Figure
from toolkit.report.tables import table

PARTS = {
    "hardware": lambda args: hardware.measure(args.out),
    "folded": lambda args: folded.measure(args.out),
    "hls": lambda args: hls.measure(args.out),
    "c": lambda args: c.measure(args.out),
    "accuracy": lambda args: accuracy.measure(),
    "compression": lambda args: compression.measure(),
    "students": lambda args: students.measure(),
    "reference": lambda args: reference.measure(),
    "search": lambda args: searched.measure(),
    "mnist": lambda args: mnist.measure(args.mnist),
    "cnn": lambda args: cnn.measure(args.mnist, args.out),
}
ON_MNIST = ("mnist", "cnn")


def told(figures: list[Figure]) -> str:
    """Figures as a table."""
    rows = [("figure", "shiftwright", "beside it", "goal", "reached")]
    return "\n".join(table(rows + [(f.name, f.ours, f.peer, f.goal, f.verdict) for f in figures], 5))


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's 10,000 test images; without it they are left "
                        "out")
    args = parser.parse_args()
    if args.only in ON_MNIST and args.mnist is None:
        parser.error(f"--only {args.only} needs --mnist FOLDER")
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = [args.only] if args.only else [name for name in PARTS if name not in ON_MNIST or args.mnist]
    figures: list[Figure] = []
    for name in wanted:
        made = PARTS[name](args)
        print(f"\n{name}\n{told(made)}", flush=True)  # a part that took long is not lost with the next
        figures += made
    text = told(figures)
    print(f"\nall\n{text}" if len(wanted) > 1 else "")
    (args.out / "bench.txt").write_text(text + "\n")
    (args.out / "bench.json").write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")
    return 1 if any(f.reached is False for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
