"""Which mutants of a room are tried, and which tests, in which order, for each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from benchmarks.mutation.child import Batch
from benchmarks.mutation.covering import Covering
from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.rooms import Room

TEST_LIMIT = 6.0
"""Seconds: a test that takes longer is not run for a mutant."""


def sample(mutants: Sequence[Mutant], count: int | None, seed: int) -> list[Mutant]:
    """About `count` mutants, from each file its share (one at least), drawn by a hash of the mutant: the same ones
    again for as long as their functions do not change. None: all."""
    if count is None or count >= len(mutants):
        return list(mutants)
    by_file: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_file.setdefault(mutant.file, []).append(mutant)
    chosen = []
    for own in by_file.values():
        share = max(1, round(count * len(own) / len(mutants)))
        chosen += sorted(own, key=lambda m: hashlib.sha256(f"{seed} {m.key}".encode()).digest())[:share]
    return chosen


class Tests:
    """Picks tests for mutants; learns which of them kill."""

    def __init__(self, covering: Covering, budget: float) -> None:
        self.covering, self.budget = covering, budget
        self.kills: Counter[tuple[str, str]] = Counter()
        self.focus = self._focus()

    def _focus(self) -> dict[tuple[str, str], float]:
        """(test file, file): which share of what the test file runs lies in that file."""
        ran: dict[str, set[str]] = {}
        for test, (_, functions) in self.covering.tests.items():
            ran.setdefault(test.partition("::")[0], set()).update(functions)
        return {(test, file): n / len(functions) for test, functions in ran.items()
                for file, n in Counter(f.partition("::")[0] for f in functions).items()}

    def learn(self, file: str, test: str) -> None:
        """`test` killed a mutant of `file`: it comes first for the next one."""
        self.kills[file, test] += 1
        self.kills[file, test.partition("::")[0]] += 1

    def batches(self, mutant: Mutant, room: Room) -> tuple[list[Batch], float]:
        """Tests that run the mutant's function, those of the likeliest file first, within it the quickest first; and
        the seconds that they take together, no more than the budget."""
        file = mutant.file
        names = (self.covering.of(f"{file}::{mutant.function}") if mutant.function else self.covering.of_file(file))
        names += [t for t in self.covering.tests if t.partition("::")[0] in room.through and t not in names]
        by_file: dict[str, list[str]] = {}
        for test in names:
            if self.covering.tests[test][0] <= TEST_LIMIT:
                by_file.setdefault(test.partition("::")[0], []).append(test)
        order = sorted(by_file, key=lambda t: (-self.kills[file, t], -self.focus.get((t, file), 0.0), t))
        batches, spent = [], 0.0
        for test_file in order:
            chosen = []
            for test in sorted(by_file[test_file], key=lambda t: (-self.kills[file, t], self.covering.tests[t][0], t)):
                cost = self.covering.tests[test][0]
                if spent + cost <= self.budget:
                    chosen.append(test)
                    spent += cost
            if chosen:
                batches.append(Batch(test_file, tuple(chosen)))
        return batches, spent
