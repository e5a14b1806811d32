"""The errors a user can meet: one clear sentence each, and the exit code it ends with."""

from __future__ import annotations


class ShiftwrightError(Exception):
    """Base of all errors meant for the user. `exit_code` is what the command line returns."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).splitlines()))


class CheckFailed(ShiftwrightError):
    """A check that was asked for did not hold: a bit differs, a limit was passed."""

    exit_code = 1


class InputError(ShiftwrightError):
    """The model, the data, a file or an option cannot be used as given."""

    exit_code = 2


class ToolMissing(ShiftwrightError):
    """A tool that this step needs is not installed or does not serve."""

    exit_code = 3
