"""The bench of the target `hls`: C simulation, the C++ compiled with g++ against ap_types, every bit compared."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import native
from errors import BadFolder, NoTool, SimulationError
from manifest import Manifest
from results import Check, Outcome

HEADERS = "HLS_INCLUDE"
"""The environment variable that names a folder with ap_int.h and hls_stream.h."""
INSTALLATIONS = "XILINX_HLS", "XILINX_VITIS"
FLAGS = ("-std=c++14", "-Wall", "-Wno-unknown-pragmas")
MUCH_WIRING = 20_000
"""Terms of unrolled sums from which -O2 takes the compiler minutes, and -O1 seconds."""


@dataclass(frozen=True)
class Sources:
    """The files of the target, those that the compiler is given, and how many terms are wiring in them."""

    files: tuple[Path, ...]
    compiled: tuple[Path, ...]
    terms: int


def require(args: argparse.Namespace) -> None:
    """Raise NoTool, before any work is done, where the compiler or the headers are missing."""
    native.tool("g++", "g++")
    headers()


def headers() -> Path:
    """The folder of ap_int.h and hls_stream.h: named by HLS_INCLUDE, of the hls4ml package, or of a Vitis."""
    named = os.environ.get(HEADERS)
    if named and not (Path(named) / "ap_int.h").is_file():
        raise NoTool(f"{HEADERS} is '{named}', which holds no ap_int.h; name the folder of the HLS headers")
    places = [Path(named)] if named else []
    spec = importlib.util.find_spec("hls4ml")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "templates" / "vivado" / "ap_types")
    places += [Path(os.environ[name]) / "include" for name in INSTALLATIONS if os.environ.get(name)]
    if shutil.which("vitis_hls"):
        places.append(Path(str(shutil.which("vitis_hls"))).resolve().parent.parent / "include")
    found = next((p for p in places if (p / "ap_int.h").is_file() and (p / "hls_stream.h").is_file()), None)
    if found is None:
        raise NoTool("the headers of HLS (ap_int.h, hls_stream.h) are not here; run: pip install hls4ml, which brings "
                     f"them, or set {HEADERS} to the include folder of a Vitis HLS")
    return found


def parse(manifest: Manifest) -> Sources:
    """Read and check the entry; whatever is wrong is a BadFolder error that says so."""
    try:
        entry: dict[str, Any] = manifest.targets["hls"]
        sources = [manifest.inside(name) for name in entry["sources"]]
        bench = manifest.inside(entry["testbench"])
        terms = sum(int(row["terms"]) for row in entry["layers"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFolder(f"the manifest's entry of hls is damaged: {type(error).__name__} at {error}") from error
    compiled = tuple(p for p in (*sources, bench) if p.suffix == ".cpp")
    return Sources((*sources, bench), compiled, terms)


def run(manifest: Manifest, args: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Compile the sources with their testbench, and run all vectors through the top function's streams."""
    include, sources = headers(), parse(manifest)
    sets = native.load(manifest, args.vectors)
    built = None
    checks: list[Check] = []
    faults: list[str] = []
    try:
        say(f"compiling the HLS C++ (headers of {include})")
        program = args.work.take(manifest.folder / "build" / "hls") / "csim"
        level = "-O1" if sources.terms > MUCH_WIRING else "-O2"
        command = [native.tool("g++", "g++"), *FLAGS, level, "-isystem", str(include),
                   *map(str, sources.compiled), "-o", str(program)]
        built = native.build(program, command, list(sources.files), args.deadline, args.rebuild)
        say(f"running {sum(len(s.inputs) for s in sets):,} vectors in C simulation")
        checks = native.play([str(program), "--raw"], sets, manifest.output, args.deadline, bench="csim")
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        faults.append(str(error))
    return Outcome("hls", built.seconds if built else None, bool(built and built.cached), tuple(checks), None,
                   tuple(faults))
