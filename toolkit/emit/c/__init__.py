"""The target `c`: C99 for microcontrollers, shifts and adds over packed weight codes."""

from toolkit.emit.c.emit import emit

__all__ = ["emit"]
