"""Changed lines that a person wrote down, each with the test that must fail: `changes/*.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

NAME = "changed lines"


@dataclass(frozen=True)
class Change:
    """In `file` the text `old`, which stands there once, becomes `new`; one of `tests` (pytest ids, parameters left out
    or not) must then fail."""

    file: str
    why: str
    old: str
    new: str
    tests: tuple[str, ...]

    def problem(self, root: Path) -> str:
        """Why the entry is out of date; empty where it is not."""
        path = root / self.file
        count = path.read_text().count(self.old) if path.is_file() else 0
        if count != 1:
            return f"changed line '{self.why}': its text stands {count} times in {self.file}, not once: {self.old}"
        for test in self.tests:
            file, _, name = test.partition("::")
            held = (root / file).read_text() if (root / file).is_file() else ""
            if f"def {name.partition('[')[0]}(" not in held:
                return f"changed line '{self.why}': there is no test {test}"
        return ""

    def applied(self, root: Path) -> str:
        return (root / self.file).read_text().replace(self.old, self.new)

    def line(self, root: Path) -> int:
        return (root / self.file).read_text().partition(self.old)[0].count("\n") + 1

    def key(self, root: Path) -> str:
        """The same for as long as the file, the change and the names of the tests are."""
        parts = (self.file, (root / self.file).read_text(), self.old, self.new, *self.tests)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def read(place: Path) -> list[Change]:
    """Every entry of every list in a folder."""
    return [Change(entry["file"], entry["why"], entry["old"].strip("\n"), entry["new"].strip("\n"),
                   tuple(entry["tests"]))
            for path in sorted(place.glob("*.toml")) for entry in tomllib.loads(path.read_text())["change"]]
