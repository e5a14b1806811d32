"""What a command says at its end: the report, and what the hardware takes of a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.estimate.estimate import estimate
from toolkit.estimate.estimate import text as device_text
from toolkit.report import Report, text
from toolkit.report.tables import terminal_width


def outcome(report: Report, out: Path, as_json: bool, device: str = "") -> tuple[Any, bool]:
    """(what is to be printed, whether all is well): of a report whose files lie in `out`, and where a `device` is
    named, of the hardware in it."""
    found = estimate(out / "hardware", device=device) if device else None
    good = report.ok and not (found and found.fits is False)
    if as_json:
        return report.to_json() | ({"device": found.to_json()} if found else {}), good
    lines = device_text(found, short=True) if found else []
    return "\n".join([*lines, f"{text(report, out, terminal_width())}written to {out}"]), good
