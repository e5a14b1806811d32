"""The errors a user can meet: one clear sentence each, and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.utils.printable import printable

MAX_LENGTH = 2_000


class ShiftwrightError(Exception):
    """Base of all errors meant for the user. `exit_code` is what the command line returns."""

    exit_code = 2
    """Names in `message` come from files: what a terminal must not see is taken out here."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        """One sentence; `lines` follow it, indented, where it is the head of a list."""
        super().__init__("\n  ".join(_line(text) for text in (message, *lines)))


def _line(text: str) -> str:
    clean = printable(" ".join(str(text).splitlines()))
    return clean if len(clean) <= MAX_LENGTH else f"{clean[:MAX_LENGTH - 3]}..."


class CheckFailed(ShiftwrightError):
    """A check that was asked for did not hold: a bit differs, a limit was passed."""

    exit_code = 1


class InputError(ShiftwrightError):
    """The model, the data, a file or an option cannot be used as given."""

    exit_code = 2


class ToolMissing(ShiftwrightError):
    """A tool that this step needs is not installed or does not serve."""

    exit_code = 3
