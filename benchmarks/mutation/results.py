"""What became of each mutant: kept as JSON lines so that a run goes on where it stopped, and told as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

from benchmarks.mutation.rooms import GOAL

KILLED = ("killed", "timeout", "crashed")
"""A test failed; the limit of time was reached; the process died."""


@dataclass(frozen=True)
class Outcome:
    """Of one mutant or changed line. `by`: the test that failed. `tests`: a hash of the test files that decide whether
    this still holds: the one that killed, or all that did not."""

    key: str
    room: str
    place: str
    old: str
    new: str
    status: str
    by: str = ""
    files: tuple[str, ...] = ()
    tests: str = ""
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        return self.status in KILLED


class Store:
    """Outcomes in a file, one a line, the latest of a key counting."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Outcome] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a run that was killed while it wrote
            self.known[entry["key"]] = Outcome(**{**entry, "files": tuple(entry["files"])})

    def get(self, key: str, digest: Callable[[Iterable[str]], str], chosen: Iterable[str]) -> Outcome | None:
        """The outcome of `key` where it still holds: the test that killed is unchanged; or the mutant survived, the
        same test files would be tried again, and none of them changed."""
        outcome = self.known.get(key)
        if outcome is None or outcome.tests != digest(outcome.files):
            return None
        if outcome.killed or set(outcome.files) == set(chosen):
            return outcome
        return None

    def add(self, outcome: Outcome) -> None:
        self.known[outcome.key] = outcome
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %: E. B. Wilson, JASA 22 (1927)."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half if hits else 0.0), (middle + half if hits < count else 1.0)


@dataclass(frozen=True)
class Tally:
    """One room's line of the table."""

    room: str
    mutants: int
    outcomes: tuple[Outcome, ...]
    excused: int

    @property
    def killed(self) -> int:
        return sum(o.killed for o in self.outcomes)

    @property
    def share(self) -> float:
        return self.killed / len(self.outcomes) if self.outcomes else 1.0

    @property
    def reached(self) -> bool:
        return self.share >= GOAL

    def cells(self) -> tuple[str, ...]:
        low, high = wilson(self.killed, len(self.outcomes))
        stopped = sum(o.status == "timeout" for o in self.outcomes)
        return (self.room, f"{self.mutants:,}", f"{len(self.outcomes):,}", f"{self.killed:,}", f"{stopped:,}",
                f"{self.excused:,}", f"{100 * self.share:.1f} %", f"{100 * low:.1f} .. {100 * high:.1f} %",
                "yes" if self.reached else "no")


HEADER = ("room", "mutants", "tried", "killed", "of them by time", "equivalent", "share", "95 % interval",
          f"{100 * GOAL:.0f} % reached")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of one length in columns, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(n) if i else cell.ljust(n) for i, (cell, n) in
                               enumerate(zip(row, widths, strict=True))) for row in rows)


def survivors(outcomes: Iterable[Outcome]) -> str:
    """The survivors, each with the line that was and the line that no test minded."""
    told = []
    for outcome in sorted((o for o in outcomes if not o.killed), key=lambda o: o.place):
        told.append(f"{outcome.place}  {'' if outcome.status == 'survived' else f'[{outcome.status}]'}\n"
                    f"  - {outcome.old}\n  + {outcome.new}")
    return "\n".join(told)
