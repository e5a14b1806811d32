"""`python -m benchmarks -o DIR`: every goal, measured, beside the peers; exit code 1 where one is missed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import accuracy, folded, hardware, reference
from toolkit.report.tables import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--only", choices=("hardware", "folded", "accuracy", "reference"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    parts = {"hardware": lambda: hardware.measure(args.out), "folded": lambda: folded.measure(args.out),
             "accuracy": accuracy.measure, "reference": reference.measure}
    figures = [figure for name, part in parts.items() if args.only in (None, name) for figure in part()]
    rows = [("figure", "shiftwright", "beside it", "goal", "reached")]
    rows += [(f.name, f.ours, f.peer, f.goal, f.verdict) for f in figures]
    text = "\n".join(table(rows, 5))
    print(text)
    (args.out / "bench.txt").write_text(text + "\n")
    (args.out / "bench.json").write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")
    return 1 if any(f.reached is False for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
