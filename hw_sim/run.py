"""Check a generated project: `python3 sim/run.py FOLDER`. Needs numpy, and what each of its targets needs.

Exit codes: 0 every bit is equal; 1 a check failed; 2 the folder or an option is no good; 3 a tool is missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from errors import SimulationError  # noqa: E402


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
    parser.add_argument("--waves", action="store_true", help="write build/waves.vcd of the AXI4-Stream bench")
    parser.add_argument("--max-ber", type=_share, default=0.0, metavar="X", help="hardware BER that still passes (0)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=_positive, default=1200, metavar="S", help="seconds a simulation may take")
    parser.add_argument("--processes", type=_positive, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("--rebuild", action="store_true", help="build even what is built")
    parser.add_argument("--edited", action="store_true", help="the files were edited on purpose")
    parser.add_argument("--require", action="store_true", help="only see whether the tools are there")
    parser.add_argument("--lint", action="store_true", help="only verilator --lint-only -Wall")
    return parser.parse_args(argv)


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
    try:
        return run(args)
    except SimulationError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'the disk'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(args: argparse.Namespace) -> int:
    import manifest as project
    import output
    from errors import BadFolder
    from printable import printable
    from targets import TARGETS

    if args.require:
        for target in args.target or TARGETS:
            importlib.import_module(TARGETS[target]).require(args)
        return 0
    manifest = project.load(args.folder)
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
        import target_verilog

        told = target_verilog.lint(manifest)
        print(told or f"{printable(manifest.name)}: verilator --lint-only -Wall is clean")
        return 1 if told else 0
    if args.board and "c" not in chosen:
        raise BadFolder("--board runs the target c, which is not among those that are simulated")
    benches = [importlib.import_module(TARGETS[target]) for target in chosen]
    for bench in benches:
        bench.require(args)  # before any work is done
    changed = manifest.changed()
    if args.vectors and args.vectors > manifest.samples:
        _say(args, f"the folder holds {manifest.samples:,} vectors; generate it with more for more")
    outcomes = [bench.run(manifest, args, lambda what: _say(args, what)) for bench in benches]
    result = output.Result(manifest, tuple(outcomes), args.max_ber, tuple(changed), args.edited)
    print(json.dumps(output.to_json(result), indent=1) if args.json else output.text(result))
    if args.junit:
        args.junit.parent.mkdir(parents=True, exist_ok=True)
        args.junit.write_bytes(output.junit(result))
    return 0 if result.ok else 1


def _say(args: argparse.Namespace, what: str) -> None:
    """Progress, for people who watch."""
    if sys.stderr.isatty() or os.environ.get("SHIFTWRIGHT_PROGRESS"):
        print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
