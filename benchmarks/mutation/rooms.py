"""The rooms whose tests must bite: which files, and which tests reach them only through another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """Files that are judged together. `through` names test files whose every test counts as one that covers the room,
    because what they run of it runs in a process of its own, where the map of covered functions does not look.
    `left_out`: files that run inside a simulator alone, seconds for each mutant: the lists speak of them."""

    name: str
    patterns: tuple[str, ...]
    through: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def files(self, root: Path) -> list[str]:
        """The room's files that exist below `root`, sorted, as POSIX paths relative to it."""
        found = {path.relative_to(root).as_posix() for pattern in self.patterns for path in root.glob(pattern)}
        return sorted(name for name in found if not name.endswith("__init__.py") and name not in self.left_out)


ROOMS = (
    Room("design", ("toolkit/design/**/*.py",)),
    Room("importing", ("toolkit/importing/*.py",)),
    Room("estimate", ("toolkit/estimate/*.py", "toolkit/hardware/memory.py")),
    Room("measures", ("toolkit/compress/measure/*.py", "toolkit/compress/baseline.py", "toolkit/compress/artifact.py")),
    Room("choices", ("toolkit/report/choices.py", "toolkit/report/differences.py", "toolkit/search/search.py",
                     "toolkit/compress/sweep.py")),
    Room("hw_sim", ("hw_sim/**/*.py",), ("tests/test_bench_told.py",),
         ("hw_sim/benches/player.py", "hw_sim/benches/probe.py", "hw_sim/benches/stream.py")),
)
GOAL = 0.9
"""The share of mutants that must be killed in each room."""
