"""Check a generated project: `python3 sim/run.py FOLDER`. Needs cocotb, cocotbext-axi, numpy, Verilator, g++, make.

Exit codes: 0 every bit is equal; 1 a check failed; 2 the folder or an option is no good; 3 a tool is missing.
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--vectors", type=_positive, metavar="N", help="play N vectors instead of all")
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
    import tools

    verilator = tools.require(build=not args.lint)
    import manifest as project
    import output
    from build import build, lint
    from checks import load as load_vectors
    from checks import play, stream
    from diagnose import diagnose

    manifest = project.load(args.folder)
    if args.lint:
        told = lint(manifest, verilator)
        print(told or f"{manifest.top}: verilator --lint-only -Wall is clean")
        return 1 if told else 0
    changed = manifest.changed()
    loaded = load_vectors(manifest, args.vectors)
    if args.vectors and args.vectors > manifest.samples:
        _say(args, f"the folder holds {manifest.samples:,} vectors; generate it with more for more")
    built, checks, faults, diagnosis = None, [], [], None
    try:
        _say(args, f"building the simulation of {manifest.top} (Verilator: {verilator.origin})")
        built = build(manifest, verilator, rebuild=args.rebuild)
        if args.bench != "axi":
            _say(args, f"playing {sum(map(len, loaded.inputs)):,} vectors from memory")
            checks += play(manifest, built, loaded, stalls=False, processes=args.processes, seed=args.seed,
                           timeout=args.timeout)
            if args.stalls:
                _say(args, "playing them again with stalls")
                checks += play(manifest, built, loaded, stalls=True, processes=args.processes, seed=args.seed,
                               timeout=args.timeout)
        if args.bench != "player":
            _say(args, f"streaming {args.axi_samples:,} samples over AXI4-Stream with random stalls")
            checks.append(stream(manifest, built, loaded, samples=args.axi_samples, seed=args.seed,
                                 timeout=args.timeout))
        if args.waves:
            _say(args, "recording build/waves.vcd")
            stream(manifest, build(manifest, verilator, waves=True), loaded, samples=256, seed=args.seed,
                   timeout=args.timeout)
        first = next((c.mismatch for c in checks if c.mismatch), None)
        if first is not None:
            _say(args, "looking for the layer at fault")
            diagnosis = diagnose(manifest, verilator, first, args.seed, args.timeout)
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        faults.append(str(error))
    result = output.Result(manifest, built, tuple(checks), diagnosis, args.max_ber, tuple(changed), args.edited,
                           tuple(faults))
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
