"""The targets that a project can hold. A new one is a package here, a bench in `hw_sim/`, and a line in this table."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.emit.c import emit as c
from toolkit.emit.hls import emit as hls
from toolkit.emit.hls4ml import emit as hls4ml
from toolkit.emit.hls4ml import require as hls4ml_is_there
from toolkit.emit.target import Emitted, Job
from toolkit.emit.verilog import emit as verilog
from toolkit.utils.errors import InputError

TARGETS: dict[str, Callable[[Job], Emitted]] = {"verilog": verilog, "hls": hls, "c": c, "hls4ml": hls4ml}

NEEDS: dict[str, Callable[[], object]] = {"hls4ml": hls4ml_is_there}
"""What raises ToolMissing where a target cannot be written for want of a package."""


def check_targets(targets: tuple[str, ...]) -> None:
    """Raise InputError for a target that is not known, named twice, or for none at all; ToolMissing for one whose
    package is missing."""
    unknown = [t for t in targets if t not in TARGETS]
    if unknown or not targets:
        raise InputError(f"unknown target '{unknown[0] if unknown else ''}'; known are {', '.join(TARGETS)}")
    if len(set(targets)) != len(targets):
        raise InputError(f"a target is named twice in {', '.join(targets)}")
    for target in targets:
        NEEDS.get(target, bool)()
