"""Which memory of a device a memory of the RTL becomes, and how many blocks of which shape: counted, not synthesised.

A block has several shapes, deep and narrow or shallow and wide. As yosys does, the cheapest is taken: what the blocks
cost, and what stands between them where one is not deep enough. A test compares the counts with yosys's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.hardware.storage import Storage

LOGIC, DISTRIBUTED, BLOCK = "logic", "distributed", "block"


@dataclass(frozen=True)
class Kind:
    """One kind of memory, used with a port that reads and, where it is written, one that writes.

    `cell`: its name in the maker's library; `words`: how deep it is in its narrowest shape, of `widths` bits, each
    next of which is half as deep. `size`: bits of a cell, those of parity too. `written`: the narrowest shape that can
    be written; `byte`: where it is written, a memory's word is widened to whole bytes of so many bits (0: of one cell).
    `units`: how many a cell takes of those that a device's number of blocks counts; `luts`: LUTs of a cell of
    distributed memory; `together`: cells that make one of these shapes; `shared`: rows of one memory may lie beside
    each other in a cell. `cost`, of which `scaled` counts only for the
    bits that are used: yosys's, in units of its own.
    """

    cell: str
    words: int
    widths: tuple[int, ...]
    size: int
    cost: int
    units: int = 1
    together: int = 1
    byte: int = 0
    written: int = 1
    scaled: int = 0
    luts: int = 0
    shared: bool = True

    def taken(self, words: int, width: int, written: bool) -> Taken:
        """The cells for `words` of `width` bits."""
        best: tuple[int, float, int, int, int] | None = None
        for index, unit in enumerate(self.widths):
            if written and unit < self.written:
                continue
            depth = self.words >> index
            rows = -(-words // depth)
            step = min(self.byte or unit, unit) if written else 1
            beside = rows * -(-width // step) * step
            cells = -(-beside // unit) if self.shared else rows * -(-width // unit)
            cost = (self.cost - self.scaled) * cells + self.scaled * rows * width / unit
            # What selects between rows: multiplexers to read, an enable of each to write.
            cost += 0.5 * (rows - 1) * width + 0.5 * rows * (written and rows > 1)
            # yosys compares with what it has found in whole numbers.
            if best is None or cost < best[0]:
                best = int(cost), cost, cells, depth, unit
        assert best is not None
        return Taken(self, best[2] * self.together, best[3], best[4], best[1])


@dataclass(frozen=True)
class Taken:
    """`cells` of a kind, each used as `words` of `width` bits."""

    kind: Kind
    cells: int
    words: int
    width: int
    cost: float

    @property
    def units(self) -> int:
        return self.cells * self.kind.units

    @property
    def bits(self) -> int:
        return self.cells * self.kind.size


@dataclass(frozen=True)
class Family:
    """The memories of a family of devices. `block`: what a device's number of blocks counts. `compared`: a test holds
    the counts to yosys's mapping. `note`: what is not used, and why."""

    block: str
    blocks: tuple[Kind, ...]
    distributed: tuple[Kind, ...] = ()
    compared: bool = True
    note: str = ""


KBIT = 1024
_NARROW = (1, 2, 4, 9, 18)
_WIDE = (*_NARROW, 36)
_RAMB = (Kind("RAMB18", 16 * KBIT, _NARROW, 18 * KBIT, 129, byte=9),
         Kind("RAMB36", 32 * KBIT, _WIDE, 36 * KBIT, 257, units=2, byte=9),
         Kind("RAMB18", 16 * KBIT, _WIDE, 18 * KBIT, 129, byte=9),
         Kind("RAMB36", 32 * KBIT, (*_WIDE, 72), 36 * KBIT, 257, units=2, byte=9))
_CASCADE = Kind("RAMB36", 64 * KBIT, (1,), 36 * KBIT, 513, units=2, together=2, byte=9)
FAMILIES = {
    "ecp5": Family("EBR of 18 Kbit", (
        Kind("DP16KD", 16 * KBIT, _NARROW, 18 * KBIT, 128, byte=9),
        Kind("PDPW16KD", 16 * KBIT, _WIDE, 18 * KBIT, 128, byte=9, written=9)),
        (Kind("TRELLIS_DPR16X4", 16, (4,), 64, 4, luts=4),)),
    "ice40": Family("EBR of 4 Kbit", (Kind("SB_RAM40_4K", 2 * KBIT, (2, 4, 8, 16), 4 * KBIT, 64, byte=1),),
                    note="SPRAM of the UP3K and UP5K is not used: it has one port and no contents at the start"),
    "xc7": Family("RAMB18", (*_RAMB[:2], _CASCADE, *_RAMB[2:]), (
        Kind("RAM32X1D", 32, (1,), 32, 2, scaled=2, luts=2), Kind("RAM64X1D", 64, (1,), 64, 4, scaled=4, luts=2),
        Kind("RAM128X1D", 128, (1,), 128, 8, scaled=8, luts=4),
        Kind("RAM32M", 32, (6,), 192, 8, scaled=7, luts=4), Kind("RAM64M", 64, (3,), 192, 8, scaled=7, luts=4))),
    "xcup": Family("RAMB18", _RAMB, (Kind("RAM32M16", 32, (14,), 448, 16, scaled=16, luts=8),
                                     Kind("RAM64M8", 64, (7,), 448, 16, scaled=16, luts=8))),
    "gowin": Family("BSRAM of 18 Kbit", (Kind("BSRAM", 16 * KBIT, _WIDE, 18 * KBIT, 128, byte=9),),
                    (Kind("RAM16SDP4", 16, (4,), 64, 4, scaled=4, luts=4),)),
    "m9k": Family("M9K", (Kind("M9K", 8 * KBIT, _WIDE, 9 * KBIT, 128, shared=False),), compared=False),
    "m10k": Family("M10K", (Kind("M10K", 8 * KBIT, (1, 2, 5, 10, 20, 40), 10 * KBIT, 128, shared=False),),
                   (Kind("MLAB", 32, (20,), 640, 10, luts=10),), compared=False),
    "m20k": Family("M20K", (Kind("M20K", 16 * KBIT, (1, 2, 5, 10, 20, 40), 20 * KBIT, 128, shared=False),),
                   (Kind("MLAB", 32, (20,), 640, 10, luts=10),), compared=False),
}


@dataclass(frozen=True)
class Use:
    """What one memory of the RTL becomes: `place`: logic, distributed or block; `taken`: None in logic."""

    memory: Storage
    place: str
    taken: Taken | None

    @property
    def blocks(self) -> int:
        """Of those that a device's number of blocks counts."""
        return self.taken.units if self.taken and self.place == BLOCK else 0

    @property
    def luts(self) -> int:
        """LUTs of distributed memory; those of logic are not counted here."""
        return self.taken.cells * self.taken.kind.luts if self.taken else 0

    @property
    def wasted(self) -> int:
        """Bits of the cells that hold nothing."""
        return self.taken.bits - self.memory.bits if self.taken else 0


def use(memory: Storage, family: Family) -> Use:
    """What a memory becomes, by its style. Where a family has no distributed memory, that is a block."""
    if memory.style == LOGIC:
        return Use(memory, LOGIC, None)
    spread = memory.style == DISTRIBUTED and bool(family.distributed)
    kinds = family.distributed if spread else family.blocks
    found = min((kind.taken(memory.words, memory.width, memory.written) for kind in kinds), key=lambda one: one.cost)
    return Use(memory, DISTRIBUTED if spread else BLOCK, found)


@dataclass(frozen=True)
class Needed:
    """What all memories become."""

    uses: tuple[Use, ...]

    @property
    def blocks(self) -> int:
        return sum(one.blocks for one in self.uses)

    @property
    def luts(self) -> int:
        return sum(one.luts for one in self.uses)

    @property
    def wasted(self) -> int:
        return sum(one.wasted for one in self.uses)


def needed(memories: Iterable[Storage], family: Family) -> Needed:
    """What the memories that RTL declares take of a family's."""
    return Needed(tuple(use(memory, family) for memory in memories))
