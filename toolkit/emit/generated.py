"""A generated project, as a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.design import Design
from toolkit.emit.target import Emitted


@dataclass(frozen=True)
class Generated:
    """A project folder, the design that it came from, and what each target made of it."""

    folder: Path
    design: Design
    targets: dict[str, Emitted]

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each target: latency, memory, flash, as they apply."""
        return {name: emitted.entry for name, emitted in self.targets.items()}
