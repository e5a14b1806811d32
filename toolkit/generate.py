"""From a design to a project folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.design import Design
from toolkit.emit import vectors as test_vectors
from toolkit.emit.project import write_project
from toolkit.emit.verilog import verilog
from toolkit.errors import InputError
from toolkit.estimate.memory import Memory, memory
from toolkit.folder import check_ours, output_folder
from toolkit.hardware import Options, Plan, plan

TARGETS = ("verilog",)


@dataclass(frozen=True)
class Generated:
    """A project folder, the plan that it came from, and what it occupies."""

    folder: Path
    plan: Plan
    memory: Memory


def generate(design: Design | Path | str, out: Path | str, *, targets: tuple[str, ...] = TARGETS,
             options: Options | None = None, test: np.ndarray | None = None, vectors: int = 100_000,
             seed: int = 0) -> Generated:
    """Write the project folder `out` for a design, or for the `.swd` file of one.

    `test`: codes (n, *input.shape) that become the vector set of that name; `vectors`: how many random and boundary
    vectors are added. The same arguments give the same bytes. Raises InputError for a file that is no design, an
    unknown target, and a folder that is not ours.
    """
    unknown = [t for t in targets if t not in TARGETS]
    if unknown or not targets:
        raise InputError(f"unknown target '{unknown[0] if unknown else ''}'; known are {', '.join(TARGETS)}")
    check_ours(out)
    if not isinstance(design, Design):
        design = Design.load(design)
    made = plan(design, options)
    used = memory(made)
    text = verilog(made)
    checks = test_vectors.make(design, test, vectors, seed)
    with output_folder(out) as fresh:
        write_project(fresh, made, text, checks, used.to_json())
    return Generated(Path(out), made, used)
