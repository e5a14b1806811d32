"""What Verilog declares: memories, and bits of registers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Storage:
    """A memory of the RTL: `words` of `width` bits, called `name` in `module`. `holds`: weights, biases, table, order,
    line buffer, accumulators or FIFO. `style`: what its attribute asks for: block, distributed or logic. `written`: by
    the hardware; else a ROM. `layer`: whose it is, '' for none."""

    module: str
    name: str
    holds: str
    words: int
    width: int
    style: str
    written: bool
    layer: str = ""

    @property
    def bits(self) -> int:
        return self.words * self.width


@dataclass(frozen=True)
class Declared:
    """Memories and bits of registers that Verilog declares."""

    memories: tuple[Storage, ...] = ()
    register_bits: int = 0

    def __add__(self, other: Declared) -> Declared:
        return Declared(self.memories + other.memories, self.register_bits + other.register_bits)

    @property
    def rom_bits(self) -> int:
        return sum(memory.bits for memory in self.memories if not memory.written)

    @property
    def buffer_bits(self) -> int:
        return sum(memory.bits for memory in self.memories if memory.written)
