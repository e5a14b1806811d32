"""The run itself: prepare the copies, map the tests, try each mutant and each changed line, print the tables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mutation import changes, child, covering, equivalent, tree
from benchmarks.mutation.choose import Tests, sample
from benchmarks.mutation.mutants import mutants
from benchmarks.mutation.results import HEADER, Outcome, Store, Tally, survivors, table
from benchmarks.mutation.rooms import Room


class Trial:
    """Tries wrong texts of files against tests, in copies of the project, and keeps what became of each."""

    def __init__(self, slots: child.Slots, scratch: Path, store: Store, root: Path, grace: float) -> None:
        self.slots, self.scratch, self.store, self.root, self.grace = slots, scratch, store, root, grace
        self.count = 0

    def digest(self, files: Iterable[str]) -> str:
        return tree.digest(self.root, files)

    def start(self, file: str, text: str, batches: Sequence[child.Batch], cpu: float, made: dict[str, Any],
              learn: Tests | None = None) -> None:
        """Run `batches` where `file` holds `text`; `made` are the fields of the outcome that are known already."""
        self.count += 1
        answer = self.scratch / f"mutant-{self.count}.json"
        restore: list = []
        began = time.monotonic()
        limit = self.grace + 6 * cpu

        def launch(place: Path) -> int:
            restore.append(tree.changed(place, file, text))
            return child.forked(lambda: child.run_batches(batches, answer.with_suffix("")), place, answer, limit)

        def done(status: int, place: Path) -> None:
            restore[0]()
            found = json.loads(answer.read_text()) if status == 0 else {}
            state = {None: "crashed", True: "killed", False: "survived"}[found.get("killed")]
            if status < 0:
                state = "timeout"
            files = tuple(sorted({b.file for b in batches}))
            by = found.get("by", "")
            if by:
                files = (by.partition("::")[0],)
                if learn:
                    learn.learn(file, by)
            self.store.add(Outcome(**made, status=state, by=by, files=files, tests=self.digest(files),
                                   seconds=round(time.monotonic() - began, 2)))
            for left in self.scratch.glob(f"{answer.stem}.*"):
                left.unlink(missing_ok=True) if left.is_file() else None

        self.slots.start(launch, 8 * limit, done)  # waiting, or a busy machine


def run(args: Any, root: Path, scratch: Path, rooms: Sequence[Room], lists: Path = Path(__file__).parent) -> int:
    """Everything that `args` ask for, with the changed lines and the equivalent mutants in `lists`; the exit code."""
    began = time.monotonic()
    jobs = args.jobs or os.cpu_count() or 1
    first = tree.copied(root, scratch / "tree0")
    trees = [first, *(tree.copied(first, scratch / f"tree{i}") for i in range(1, jobs))]
    trial = Trial(child.Slots(trees), scratch, Store(args.out / "outcomes.jsonl"), root,
                  args.grace)
    try:
        code = _rooms(args, root, scratch, [room for room in rooms if room.name in args.only], trial, lists)
        if changes.NAME in args.only:
            code = max(code, _changes(args, root, trial, lists / "changes"))
    finally:
        trial.slots.stop()
    print(f"{trial.count} tried now, {(time.monotonic() - began) / 60:.1f} minutes")
    return code


def _rooms(args: Any, root: Path, scratch: Path, rooms: Sequence[Room], trial: Trial, lists: Path) -> int:
    if not rooms:
        return 0
    files = sorted(p.relative_to(root).as_posix() for p in (root / "tests").glob("test_*.py")
                   if not args.tests or any(t in p.name for t in args.tests.split(",")))
    found = covering.collect(root, trial.slots, args.out / "map.json", files, scratch, args.old_map, _say)
    for problem in found.problems:
        _say(f"not used, it does not pass or takes too long: {problem}")
    tests = Tests(found, args.budget)
    excuses = equivalent.Excuses(equivalent.read(lists / "equivalent.toml"))
    tallies = [_room(args, root, room, trial, tests, excuses) for room in rooms]
    left = "\n".join(filter(None, (survivors(t.outcomes) for t in tallies)))
    text = table([HEADER, *(t.cells() for t in tallies)])
    print(f"\nsurvivors\n{left or '(none)'}\n\n{text}\n", flush=True)
    (args.out / "mutate.txt").write_text(f"{text}\n\nsurvivors\n{left}\n")
    stale = excuses.stale({file for room in rooms for file in room.files(root) if _wanted(args, file)})
    for excuse in stale:
        print(f"equivalent.toml names a mutant that is none any more: {excuse.file}: {excuse.old} -> {excuse.new}")
    return 2 if stale else int(not all(t.reached for t in tallies))


def _wanted(args: Any, file: str) -> bool:
    return not args.file or args.file in file


def _room(args: Any, root: Path, room: Room, trial: Trial, tests: Tests, excuses: equivalent.Excuses) -> Tally:
    sources = {file: (root / file).read_text() for file in room.files(root) if _wanted(args, file)}
    every = [m for file, source in sources.items() for m in mutants(file, source)]
    open_ = [m for m in every if not excuses.cover(m)]
    chosen = [m for m in sample(open_, None if args.all else args.sample, args.seed) if m.valid(sources[m.file])]
    for outcome in trial.store.known.values():
        if outcome.by:
            tests.learn(outcome.place.partition(":")[0], outcome.by)
    began, tried = time.monotonic(), 0
    for number, mutant in enumerate(chosen, 1):
        batches, cost = tests.batches(mutant, room)
        if trial.store.get(mutant.key, trial.digest, {b.file for b in batches}):
            continue
        made: dict[str, Any] = {"key": mutant.key, "room": room.name, "place": f"{mutant.file}:{mutant.line}",
                                "old": mutant.old, "new": mutant.new}
        if not batches:
            trial.store.add(Outcome(**made, status="no test runs it", tests=trial.digest(())))
            continue
        trial.start(mutant.file, mutant.applied(sources[mutant.file]), batches, cost, made, tests)
        tried += 1
        if tried % 25 == 0:
            _say(f"{room.name}: {number} of {len(chosen)}, {(time.monotonic() - began) / tried:.1f} s each")
    trial.slots.finish()
    outcomes = tuple(trial.store.known[m.key] for m in chosen)
    return Tally(room.name, len(every), outcomes, len(every) - len(open_))


def _changes(args: Any, root: Path, trial: Trial, place: Path) -> int:
    entries = [c for c in changes.read(place) if _wanted(args, c.file)]
    wrong = [problem for c in entries if (problem := c.problem(root))]
    for problem in wrong:
        print(problem)
    if wrong:
        return 2
    for change in entries:
        key = change.key(root)
        files = {t.partition("::")[0] for t in change.tests}
        if trial.store.get(key, trial.digest, files):
            continue
        batches = [child.Batch(file, tuple(t for t in change.tests if t.partition("::")[0] == file))
                   for file in sorted(files)]
        made = {"key": key, "room": changes.NAME, "place": f"{change.file}:{change.line(root)}",
                "old": f"{change.why}: {change.old}", "new": change.new}
        trial.start(change.file, change.applied(root), batches, 60, made)
    trial.slots.finish()
    outcomes = [trial.store.known[c.key(root)] for c in entries]
    left = survivors(outcomes)
    told = f"changed lines: {sum(o.killed for o in outcomes)} of {len(outcomes)} noticed by the test they name"
    print(f"{told}\n{left}", flush=True)
    (args.out / "changes.txt").write_text(f"{told}\n{left}\n")
    return int(any(not o.killed for o in outcomes))


def _say(text: str) -> None:
    print(text, flush=True)
