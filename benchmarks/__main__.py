"""`python -m benchmarks -o DIR`: every goal, measured, beside the peers; exit code 1 where one is missed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import accuracy, compression, hardware, hls, mnist, reference, searched
from toolkit.report.tables import table

PARTS = ("hardware", "hls", "accuracy", "compression", "reference", "search", "mnist")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's 10,000 test images; without it they are left "
                        "out")
    args = parser.parse_args()
    if args.only == "mnist" and args.mnist is None:
        parser.error("--only mnist needs --mnist FOLDER")
    args.out.mkdir(parents=True, exist_ok=True)
    parts = {"hardware": lambda: hardware.measure(args.out), "hls": lambda: hls.measure(args.out),
             "accuracy": accuracy.measure, "compression": compression.measure, "reference": reference.measure,
             "search": searched.measure, "mnist": lambda: mnist.measure(args.mnist)}
    wanted = [args.only] if args.only else [name for name in PARTS if name != "mnist" or args.mnist is not None]
    figures = [figure for name in wanted for figure in parts[name]()]
    rows = [("figure", "shiftwright", "beside it", "goal", "reached")]
    rows += [(f.name, f.ours, f.peer, f.goal, f.verdict) for f in figures]
    text = "\n".join(table(rows, 5))
    print(text)
    (args.out / "bench.txt").write_text(text + "\n")
    (args.out / "bench.json").write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")
    return 1 if any(f.reached is False for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
