"""`python -m benchmarks.mutation`: mutants of every room and the changed lines, each tried against the tests."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.mutation import changes, child, run, tree
from benchmarks.mutation.rooms import ROOMS


def main(arguments: list[str] | None = None) -> int:
    """0 where every room reaches the goal and every changed line is noticed, 1 where not, 2 where a list is stale."""
    parser = argparse.ArgumentParser(prog="benchmarks.mutation", description=__doc__)
    names = [room.name for room in ROOMS]
    parser.add_argument("-o", "--out", type=Path, default=Path("mutate-out"), help="where results are kept")
    parser.add_argument("--only", action="append", choices=[*names, changes.NAME],
                        help="this room alone; may be repeated")
    parser.add_argument("--file", help="mutants of files whose path holds this text alone")
    parser.add_argument("--sample", type=int, default=110, help="mutants of each room")
    parser.add_argument("--all", action="store_true", help="every mutant, not a sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=0, help="processes; as many as there are cores if not given")
    parser.add_argument("--budget", type=float, default=15, help="seconds of tests for one mutant")
    parser.add_argument("--grace", type=float, default=15, help="seconds that any mutant may take beside its tests")
    parser.add_argument("--tests", help="test files whose name holds one of these texts (commas between) alone")
    parser.add_argument("--old-map", action="store_true",
                        help="keep the map of which tests run what, though the program changed since")
    args = parser.parse_args(arguments)
    args.only = args.only or [*names, changes.NAME]
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    child.preload()
    with tempfile.TemporaryDirectory(prefix="shiftwright-mutation-") as scratch:
        return run.run(args, tree.ROOT, Path(scratch), ROOMS)


if __name__ == "__main__":
    sys.exit(main())
