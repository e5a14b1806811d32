"""What an import tells of itself."""

from __future__ import annotations


class Notes(list[str]):
    """Notes in their order; `exact` until one of them is of something that is not the file's, to the bit."""

    exact = True

    def approximated(self, text: str) -> None:
        """Add a note of something that differs from the file."""
        self.exact = False
        self.append(text)
