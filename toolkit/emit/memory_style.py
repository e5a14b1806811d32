"""What becomes of a memory: attributes in front of its declaration that synthesis tools follow.

yosys takes the first that it knows of ram_block, ram_style, rom_style; Vivado takes ram_style and rom_style, Quartus
ramstyle and romstyle, Gowin's tool syn_ramstyle and syn_romstyle. Of Quartus's words for blocks none holds in all of
its families, so it is told what becomes logic or MLABs, and not where a block is meant.
"""

from __future__ import annotations

LOGIC_BITS = 1024
"""Bits up to which a ROM becomes logic."""
LOGIC_WORDS = 16
"""Words up to which it does, however wide: a LUT of four inputs holds a bit of so many, and a block would be empty."""
DISTRIBUTED_WORDS = 32
DISTRIBUTED_BITS = 256
"""A written memory of so few words, or so few bits, becomes distributed RAM: LUTs that are written."""

# yosys knows no written LUTs on iCE40 and would refuse ram_style alone: `ram_block` lets it take a block there.
ATTRIBUTES = {
    ("logic", False): '(* ram_style = "registers", rom_style = "distributed", romstyle = "logic", '
                      'syn_romstyle = "logic" *)',
    ("block", False): '(* ram_style = "block", rom_style = "block", syn_romstyle = "block_rom" *)',
    ("distributed", True): '(* ram_block = 1, ram_style = "distributed", ramstyle = "MLAB", '
                           'syn_ramstyle = "distributed_ram" *)',
    ("block", True): '(* ram_style = "block", syn_ramstyle = "block_ram" *)',
}


def rom_style(words: int, width: int, at_once: bool = False) -> str:
    """The attribute of a ROM of `words` of `width` bits; `at_once`: read within a cycle, as no block can."""
    return ATTRIBUTES["logic" if at_once or words <= LOGIC_WORDS or words * width <= LOGIC_BITS else "block", False]


def ram_style(words: int, width: int) -> str:
    """The attribute of a memory of `words` of `width` bits that the hardware writes."""
    small = words <= DISTRIBUTED_WORDS or words * width <= DISTRIBUTED_BITS
    return ATTRIBUTES["distributed" if small else "block", True]
