"""The bench of the target `hls4ml`: its firmware compiled with g++ and fed the codes themselves, every bit compared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import native
from errors import BadFolder, SimulationError
from manifest import Manifest, identifier
from results import Check, Outcome

FLAGS = ["-std=c++17", "-O1", "-w", "-pthread"]


@dataclass(frozen=True)
class Entry:
    """The target's entry in the manifest. `source` includes the firmware; `files`: all that it is compiled from."""

    top: str
    backend: str
    folder: Path
    include: Path
    source: Path
    files: list[Path]


def parse(manifest: Manifest) -> Entry:
    """The entry, checked as a stranger's."""
    data = manifest.targets["hls4ml"]
    try:
        folder = manifest.inside(data["folder"])
        paths = [manifest.inside(name) for name in manifest.files]
        return Entry(identifier(data["top"]), str(data["backend"]), folder, manifest.inside(data["include"]),
                     manifest.inside(data["source"]), [path for path in paths if path.is_relative_to(folder)])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFolder(f"the manifest's entry of target hls4ml is damaged: {type(error).__name__} at {error}") \
            from error


def require(args: argparse.Namespace) -> None:
    """Raise NoTool, before any work is done, where the compiler is missing."""
    native.tool("g++", "g++")


def run(manifest: Manifest, args: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Compile the firmware with the program that feeds it, and play the vectors."""
    entry = parse(manifest)
    built, checks, faults = None, list[Check](), list[str]()
    try:
        say(f"compiling the hls4ml project {entry.top} ({entry.backend}) with g++")
        path = args.work.take(manifest.folder / "build" / "hls4ml") / entry.top
        weights = str(entry.folder / "firmware" / "weights").replace("\\", "\\\\").replace('"', '\\"')
        command = [native.tool("g++", "g++"), *FLAGS, "-I", str(entry.folder), "-I", str(entry.include),
                   f'-DWEIGHTS_DIR="{weights}"', str(entry.source), "-o", str(path)]
        built = native.build(path, command, entry.files, args.deadline, args.rebuild)
        sets = native.load(manifest, args.vectors)
        say(f"playing {sum(len(s.inputs) for s in sets):,} vectors through hls4ml's firmware")
        checks += native.play([str(path)], sets, manifest.output, args.deadline,
                              bench=f"csim (g++, {entry.backend})")
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        faults.append(str(error))
    return Outcome("hls4ml", built.seconds if built else None, bool(built and built.cached), tuple(checks), None,
                   tuple(faults))
