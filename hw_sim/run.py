"""Check a generated project: `python3 sim/run.py FOLDER`. Needs numpy, and what each of its targets needs.

It compiles and runs what the folder holds: a stranger's only after `shiftwright verify FOLDER`. Exit codes: 0 every bit
is equal; 1 a check failed or time was up; 2 the folder or an option is no good; 3 a tool is missing; 130, 143 it was
interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import processes  # noqa: E402
import safe_files  # noqa: E402
from errors import SimulationError  # noqa: E402

if TYPE_CHECKING:
    from manifest import Manifest
    from workspace import Workspace

GRACE = 2
"""Seconds beyond the deadline, in which what was ended is told."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Simulate a generated network, every bit compared.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="the generated project")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this target; may be repeated")
    parser.add_argument("--vectors", type=_positive, metavar="N", help="play N vectors instead of all")
    parser.add_argument("--board", action="append", metavar="NAME",
                        help="also on this emulated microcontroller: cortex-m0, rv32i, avr, or all; may be repeated")
    parser.add_argument("--bench", choices=("both", "player", "axi"), default="both")
    parser.add_argument("--axi-samples", type=_positive, default=2000, metavar="N",
                        help="samples of the AXI4-Stream bench (2000)")
    parser.add_argument("--stalls", action="store_true", help="play all vectors once more with random stalls")
    parser.add_argument("--keep-outputs", action="store_true",
                        help="write what the RTL gave, played without stalls, to build/outputs/")
    parser.add_argument("--waves", action="store_true", help="write build/waves.vcd of the AXI4-Stream bench")
    parser.add_argument("--max-ber", type=_share, default=0.0, metavar="X", help="hardware BER that still passes (0)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=_positive, default=1200, metavar="S",
                        help="seconds that all of it may take, builds included (1200)")
    parser.add_argument("--processes", type=_positive, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("--rebuild", action="store_true", help="build even what is built")
    parser.add_argument("--allow-edited", action="store_true", help="the files were edited on purpose")
    parser.add_argument("--edited", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--require", action="store_true", help="only see whether the tools are there")
    parser.add_argument("--clean", action="store_true", help="only remove what simulations made")
    parser.add_argument("--lint", action="store_true", help="only verilator --lint-only -Wall")
    args = parser.parse_args(argv)
    if args.edited:
        print("note: --edited is now --allow-edited", file=sys.stderr)
        args.allow_edited = True
    return args


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    processes.listen()
    args.deadline = processes.Deadline(args.timeout)
    _watch(args.deadline)
    try:
        return run(args)
    except SimulationError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'the disk'}: {error.strerror}", file=sys.stderr)
        return 2
    except MemoryError:
        print("error: there is not enough memory for this project", file=sys.stderr)
        return 2
    except processes.Interrupted as interrupted:
        print(f"interrupted: there is no result; what was built stays in '{args.folder / 'build'}' for the next run",
              file=sys.stderr)
        return interrupted.code
    finally:
        processes.end_all()


def _watch(deadline: processes.Deadline) -> None:
    """Every program is ended when time is up; this is for what we do ourselves."""
    def ring(number: int, frame: object) -> None:
        raise deadline.passed("the run")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, deadline.seconds + GRACE)


def run(args: argparse.Namespace) -> int:
    import manifest as project
    import workspace
    from errors import BadFolder
    from printable import printable
    from targets import TARGETS

    if args.require:
        for target in args.target or TARGETS:
            importlib.import_module(TARGETS[target]).require(args)
        return 0
    say = partial(_say, args)
    manifest = project.load(args.folder)
    if args.clean:
        with workspace.opened(manifest.folder, args.deadline, say) as work:
            left = work.clean()
        print("".join(f"{name} stays: no simulation made it\n" for name in left), end="")
        return 0
    absent = [t for t in args.target or () if t not in manifest.targets]
    if absent:
        raise BadFolder(f"the folder holds no target '{absent[0]}'; it holds {', '.join(manifest.targets)}")
    unknown = [t for t in manifest.targets if t not in TARGETS]
    if unknown:
        raise BadFolder(f"the manifest names the target '{unknown[0][:60]}', which these benches do not know")
    chosen = [t for t in manifest.targets if not args.target or t in args.target]
    if args.lint:
        if "verilog" not in chosen:
            raise BadFolder("there is no RTL to lint in the folder")
        from targets import verilog

        told = verilog.lint(manifest, args.deadline)
        print(told or f"{printable(manifest.name)}: verilator --lint-only -Wall is clean")
        return 1 if told else 0
    if args.board and "c" not in chosen:
        raise BadFolder("--board runs the target c, which is not among those that are simulated")
    benches = [importlib.import_module(TARGETS[target]) for target in chosen]
    for bench in benches:
        bench.require(args)  # before any work is done
    with workspace.opened(manifest.folder, args.deadline, say) as args.work:
        return _simulate(args, manifest, benches)


def _simulate(args: argparse.Namespace, manifest: Manifest, benches: list[Any]) -> int:
    import output

    junit = args.junit and _claimed(args.junit, manifest, args.work)
    changed = manifest.changed()
    if args.vectors and args.vectors > manifest.samples:
        _say(args, f"the folder holds {manifest.samples:,} vectors; generate it with more for more")
    outcomes = [bench.run(manifest, args, partial(_say, args)) for bench in benches]
    result = output.Result(manifest, tuple(outcomes), args.max_ber, tuple(changed), args.allow_edited)
    print(json.dumps(output.to_json(result), indent=1) if args.json else output.text(result))
    if junit:
        junit.write_bytes(output.junit(result))
    return 0 if result.ok else 1


def _claimed(path: Path, manifest: Manifest, work: Workspace) -> Path:
    """Where a file goes that the user named: anywhere, but in the project through no link, and over nothing of it."""
    from errors import BadFolder

    path = path.absolute()
    try:
        around = next((p for p in path.parents if p.exists() and p.samefile(manifest.folder)), None)
        if around is not None:
            inner = path.relative_to(around)
            path = manifest.folder / inner
            safe_files.check(manifest.folder, path)
            if inner.parts[0] == "build":
                return work.file(path)
            if ".." in inner.parts or str(inner) in {*manifest.files, "manifest.json"}:
                raise BadFolder(f"'{path}' is a file of the project; name another with --junit")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFolder(f"'{path}' cannot be written: {error.strerror}") from error
    return path


def _say(args: argparse.Namespace, what: str) -> None:
    """Progress, for people who watch."""
    if sys.stderr.isatty() or os.environ.get("SHIFTWRIGHT_PROGRESS"):
        print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
