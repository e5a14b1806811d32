"""Text of files that nobody vouches for, made fit for a terminal, a table or a picture."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with a '?' for each character that moves a cursor, breaks a line, turns the direction of writing or shows
    nothing: whatever is not a letter, mark, number, sign or plain blank."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which are kept apart by line feeds alone."""
    return "\n".join(map(printable, text.split("\n")))
