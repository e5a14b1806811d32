"""Mutants that no test can kill, each with the reason: `equivalent.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutation.mutants import Mutant


@dataclass(frozen=True)
class Excuse:
    """`file` and `old` say where; `new` which of the mutants of that line, as the table of survivors prints them."""

    file: str
    old: str
    new: str
    why: str


def read(path: Path) -> list[Excuse]:
    """Every excuse of the list: a `why`, then the mutants it speaks of."""
    found: list[Excuse] = []
    for entry in tomllib.loads(path.read_text() if path.exists() else "").get("equivalent", []):
        for new in entry["new"]:
            found.append(Excuse(entry["file"], entry["old"].strip(), new.strip(), entry["why"].strip()))
    return found


class Excuses:
    """Which mutants are excused, and which excuses no mutant needs any more."""

    def __init__(self, excuses: list[Excuse]) -> None:
        self.by_place = {(e.file, e.old, e.new): e for e in excuses}
        self.used: set[tuple[str, str, str]] = set()

    def cover(self, mutant: Mutant) -> bool:
        place = mutant.file, mutant.old, mutant.new
        if place in self.by_place:
            self.used.add(place)
            return True
        return False

    def stale(self, files: set[str]) -> list[Excuse]:
        """Excuses for `files` that matched nothing: the line is another one now."""
        return [e for place, e in self.by_place.items() if e.file in files and place not in self.used]
