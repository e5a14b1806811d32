"""The bench of the target `c`: the network as a program of this machine, and on emulated microcontrollers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import native
from boards import emulated
from errors import BadFolder, SimulationError
from manifest import MAX_BITS, Manifest, count, identifier
from results import Check, Outcome

FLAGS = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic", "-Werror"]

BOARD_VECTORS = 100
"""Samples that an emulated board gets where the user asks for no number."""


@dataclass(frozen=True)
class Entry:
    """The target's entry in the manifest. `tables`: bytes of each constant array by name; `memory`: words of each
    pool by the bits of a word."""

    base: str
    source: Path
    header: Path
    main: Path
    tables: dict[str, int]
    memory: dict[int, int]

    @property
    def flash_bytes(self) -> int:
        return sum(self.tables.values())

    def ram_bytes(self, alignment: int) -> int:
        """Bytes of static memory on a machine that aligns a word to its size, to `alignment` bytes at the most."""
        total = sum(bits // 8 * words for bits, words in self.memory.items())
        widest = max((bits // 8 for bits in self.memory), default=1)
        to = min(widest, alignment)
        return -(-total // to) * to


def parse(manifest: Manifest) -> Entry:
    """The entry, checked as a stranger's."""
    data: dict[str, Any] = manifest.targets["c"]
    try:
        tables = {identifier(t["name"]): count(t["bytes"], "bytes of a table", MAX_BITS) for t in data["tables"]}
        memory = {int(bits): count(words, "words of memory", MAX_BITS) for bits, words in data["memory"].items()}
        if not set(memory) <= {8, 16, 32, 64}:
            raise BadFolder("the manifest's memory has words of another size than 8, 16, 32 and 64 bits")
        return Entry(identifier(data["base"]), manifest.inside(data["source"]), manifest.inside(data["header"]),
                     manifest.inside(data["main"]), tables, memory)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFolder(f"the manifest's entry of target c is damaged: {type(error).__name__} at {error}") from error


def require(args: argparse.Namespace) -> None:
    """Raise NoTool, before any work is done, where a compiler or an emulator is missing."""
    native.tool("gcc", "gcc")
    for board in emulated.chosen(args.board):
        board.require()


def run(manifest: Manifest, args: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Every vector through the program of this machine; then a part of them through each board that was asked for."""
    entry = parse(manifest)
    built, checks, faults, figures = None, list[Check](), list[str](), {}
    try:
        say(f"compiling {entry.base} with gcc")
        path = args.work.take(manifest.folder / "build" / "c") / entry.base
        sources = [entry.source, entry.main]
        command = [native.tool("gcc", "gcc"), *FLAGS, "-I", str(entry.header.parent), *map(str, sources),
                   "-o", str(path)]
        built = native.build(path, command, [*sources, entry.header], args.deadline, args.rebuild)
        sets = native.load(manifest, args.vectors)
        say(f"playing {sum(len(s.inputs) for s in sets):,} vectors through {entry.base}")
        checks += native.play([str(path)], sets, manifest.output, args.deadline, bench="host (gcc)")
        for board in emulated.chosen(args.board):
            say(f"compiling {entry.base} for {board.title}, and running it")
            found, figures[board.name] = _board(board, entry, manifest, args)
            checks += found
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        faults.append(str(error))
    return Outcome("c", built.seconds if built else None, bool(built and built.cached), tuple(checks), None,
                   tuple(faults), figures)


def _board(board: emulated.Board, entry: Entry, manifest: Manifest,
           args: argparse.Namespace) -> tuple[list[Check], dict[str, int]]:
    """Some vectors through an emulated board; and its sizes, which must be what the manifest promised."""
    folder = manifest.folder / "build" / "c" / board.name
    firmware = emulated.build(board, entry.source, entry.main, folder, args.rebuild, args.deadline)
    checks = emulated.play(board, firmware, native.load(manifest, args.vectors or BOARD_VECTORS), manifest.output,
                         args.deadline)
    faults = emulated.surprises(board, firmware, entry.tables, entry.ram_bytes(board.alignment))
    checks.append(Check(board.title, "sizes", 0, 0, 0, firmware.seconds, 0.0, faults=faults))
    return checks, {"flash": firmware.all.flash, "ram": firmware.all.ram, "network_flash": firmware.network.flash,
                    "network_ram": firmware.network.ram, "tables": entry.flash_bytes}
