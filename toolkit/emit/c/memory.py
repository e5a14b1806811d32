"""Buffers shared by lifetime: where each activation and each scratch array lies, and how many bytes that takes.

There is one pool for each size of word, so that no memory is ever seen as two types that may not alias.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SIZES = (64, 32, 16, 8)


@dataclass
class Buffer:
    """`count` words of `bits` bits, in use from time `start` to time `end`, both included."""

    bits: int
    count: int
    start: int
    end: int
    offset: int = field(default=-1)


@dataclass(frozen=True)
class Pools:
    """Words of each pool, by the bits of a word."""

    words: dict[int, int]

    @property
    def bytes(self) -> int:
        """What the struct of all pools takes, widest first, where no type asks for alignment (AVR)."""
        return sum(bits // 8 * n for bits, n in self.words.items())

    def aligned(self, most: int = 8) -> int:
        """What it takes where types are aligned to their size, at most to `most` bytes."""
        to = min(max((bits // 8 for bits, n in self.words.items() if n), default=1), most)
        return -(-self.bytes // to) * to


def place(buffers: list[Buffer]) -> Pools:
    """Give every buffer its offset: the largest first, each at the lowest place that is free all its life."""
    words = {}
    for bits in SIZES:
        placed: list[Buffer] = []
        for buffer in sorted((b for b in buffers if b.bits == bits), key=lambda b: (-b.count, b.start)):
            beside = sorted((b for b in placed if b.start <= buffer.end and buffer.start <= b.end),
                            key=lambda b: b.offset)
            at = 0
            for other in beside:
                if at + buffer.count <= other.offset:
                    break
                at = max(at, other.offset + other.count)
            buffer.offset = at
            placed.append(buffer)
        words[bits] = max((b.offset + b.count for b in placed), default=0)
    return Pools({bits: n for bits, n in words.items() if n})
