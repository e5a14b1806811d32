"""From a design to a project folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit.design import Design
from toolkit.emit import vectors as test_vectors
from toolkit.emit.generated import Generated
from toolkit.emit.project import write_project
from toolkit.emit.provenance import Provenance
from toolkit.emit.target import Job
from toolkit.emit.targets import TARGETS, check_targets
from toolkit.hardware import Options
from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import check_ours, output_folder

DEFAULT_TARGETS = ("verilog",)


def generate(design: Design | Path | str, out: Path | str, *, targets: tuple[str, ...] = DEFAULT_TARGETS,
             options: Options | None = None, test: np.ndarray | None = None, vectors: int | None = None,
             seed: int = 0) -> Generated:
    """Write the project folder `out` for a design, or for the `.swd` file of one.

    `test`: codes (n, *input.shape) that become the vector set of that name; `vectors`: how many random and boundary
    vectors are added (100,000 by default, or as many as a slow network can be simulated on in minutes). The same
    arguments give the same bytes. Raises InputError for a file that is not a design, an unknown target, a layer that a
    target cannot express, and a folder that is not ours.
    """
    check_targets(targets)
    if not 0 <= seed < 1 << 128:
        raise InputError(f"the seed {seed} is outside 0..2**128-1")
    check_ours(out)
    if not isinstance(design, Design):
        design = Design.load(design)
    _check_codes(design, test)
    options = options or Options()
    job = Job(design, options)
    made = {name: TARGETS[name](job) for name in targets}
    if vectors is None:
        interval = made["verilog"].entry["initiation_interval"] if "verilog" in made else 1
        vectors = test_vectors.affordable(design, interval)
    checks = test_vectors.make(design, test, vectors, seed)
    with output_folder(out) as fresh:
        write_project(fresh, design, made, checks, Provenance(targets, options, int(vectors), int(seed),
                                                          len(checks.sets) > 2))
    return Generated(Path(out), design, made)


def _check_codes(design: Design, test: np.ndarray | None) -> None:
    """Raise InputError for test vectors that the input's format does not have."""
    form = design.input.format
    if test is None or not len(test):
        return
    if test.shape[1:] != design.input.shape or test.dtype.kind not in "iu":
        raise InputError(f"the test vectors are {test.dtype} of shape {test.shape}; integers of (samples, "
                         f"{', '.join(map(str, design.input.shape))}) are wanted")
    if test.min() < form.min_code or test.max() > form.max_code:
        raise InputError(f"the test vectors hold codes outside {form.min_code}..{form.max_code}, which the input's "
                         f"format {form} has not")
