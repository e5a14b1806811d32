"""The bench of the target `verilog`: RTL under Verilator and cocotb, from memory and over AXI4-Stream."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import native
import tools
from benches import rtl as entry
from errors import SimulationError
from manifest import Manifest
from processes import Deadline
from results import Check, Outcome


def require(args: argparse.Namespace) -> None:
    """Raise NoTool, before any work is done, where something that the simulation needs is missing."""
    tools.require(args.deadline)


def lint(manifest: Manifest, deadline: Deadline) -> str:
    """What `verilator --lint-only -Wall` says about the RTL: nothing where it is clean."""
    from benches.build import lint as run_lint

    return run_lint(entry.parse(manifest), tools.require(deadline, build=False), deadline)


def run(manifest: Manifest, args: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Build the simulation, play the vectors, stream a part of them, and find the layer at fault."""
    from benches.axi import stream
    from benches.build import build
    from benches.checks import load, play
    from benches.diagnose import diagnose
    from vector_files import altered, blame_vectors, disagreements

    work, deadline = args.work, args.deadline
    verilator = tools.require(deadline)
    rtl = entry.parse(manifest)
    loaded = load(rtl, args.vectors)
    told = disagreements(manifest, rtl, loaded, native.load(manifest, args.vectors))
    built, diagnosis = None, None
    checks: list[Check] = []
    faults = [line for lines in told.values() for line in lines]
    options = {"seed": args.seed, "deadline": deadline, "work": work}
    try:
        say(f"building the simulation of {rtl.top} (Verilator: {verilator.origin})")
        built = build(rtl, verilator, work, deadline, rebuild=args.rebuild)
        if args.bench != "axi":
            say(f"playing {sum(map(len, loaded.inputs)):,} vectors from memory")
            checks += play(rtl, built, loaded, stalls=False, processes=args.processes, keep=args.keep_outputs,
                           **options)
            if args.stalls:
                say("playing them again with stalls")
                checks += play(rtl, built, loaded, stalls=True, processes=args.processes, **options)
        if args.bench != "player":
            say(f"streaming {args.axi_samples:,} samples over AXI4-Stream with random stalls")
            checks.append(stream(rtl, built, loaded, samples=args.axi_samples, **options))
        if args.waves:
            say("recording build/waves.vcd")
            work.file(manifest.folder / "build" / "waves.vcd")
            stream(rtl, build(rtl, verilator, work, deadline, waves=True), loaded, samples=256, **options)
        first = next((c.mismatch for c in checks if c.mismatch), None)
        if first is not None:
            diagnosis = blame_vectors(manifest, first.vectors, told)
        if first is not None and diagnosis is None:
            say("looking for the layer at fault")
            traces = {layer.info.trace.relative_to(manifest.folder).as_posix(): layer.info.name for layer in rtl.layers}
            wrong = frozenset(traces[name] for name in altered(manifest, list(traces)))
            diagnosis = diagnose(rtl, verilator, work, first, args.seed, deadline, untold=wrong)
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        faults.append(str(error))
    return Outcome("verilog", built.seconds if built else None, bool(built and built.cached), tuple(checks), diagnosis,
                   tuple(faults))
