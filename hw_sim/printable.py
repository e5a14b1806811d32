"""Text of files that nobody vouches for, made fit for a terminal and for XML."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with a '?' for each character that moves a cursor, breaks a line, turns the direction of writing or shows
    nothing: whatever is not a letter, mark, number, sign or plain blank."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
