"""What can go wrong, each with the exit code it ends with: 1 a check failed, 2 bad input, 3 a tool is missing."""

from __future__ import annotations

from printable import printable


class SimulationError(Exception):
    """One clear sentence for the user."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, str(message).splitlines())))  # a compiler's words keep their lines


class BadFolder(SimulationError):
    """The project folder or an option cannot be used as it is."""

    exit_code = 2


class NoTool(SimulationError):
    """A tool that the simulation needs is not there."""

    exit_code = 3
