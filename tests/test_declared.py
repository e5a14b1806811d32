"""What is counted of the RTL, against what slang finds in it once every generate loop has run."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from icarus import circuit

from benchmarks.networks import (
    every_folded_layer,
    every_image_layer,
    every_layer,
    random_elements,
    random_folded,
    random_gated,
)
from benchmarks.networks.strategies import designs, examples
from toolkit.emit.verilog.declared import declared
from toolkit.hardware import Options
from toolkit.hardware.storage import Declared

FOLDED = Options(arch="folded")


def by_slang(files: dict[str, str], top: str) -> tuple[Counter[tuple[int, int]], int]:
    """(how many memories of each words and width, bits of all other variables) of the elaborated design."""
    import pyslang

    made = pyslang.ast.Compilation()
    for text in files.values():
        made.addSyntaxTree(pyslang.syntax.SyntaxTree.fromText(text))
    memories: Counter[tuple[int, int]] = Counter()
    bits = 0

    def visit(symbol: Any) -> None:
        nonlocal bits
        # Names of a function are none of the hardware's.
        if str(symbol.kind) == "SymbolKind.Variable" and "Static" in str(symbol.lifetime):
            kind = symbol.type
            if kind.isUnpackedArray:
                memories[kind.range.width, kind.elementType.bitWidth] += 1
            else:
                bits += kind.bitWidth

    found = [one for one in made.getRoot().topInstances if one.name == top]
    assert len(found) == 1
    found[0].visit(visit)
    return memories, bits


def counted(found: dict[str, Declared]) -> tuple[Counter[tuple[int, int]], int]:
    everything = sum(found.values(), Declared())
    return Counter((one.words, one.width) for one in everything.memories), everything.register_bits


def same(design, options: Options) -> bool:
    made = circuit(design, options)
    if made is None:
        return False
    rtl = made.made
    assert counted(declared(rtl.files, rtl.top, rtl.modules)) == by_slang(rtl.files, rtl.top)
    return True


@pytest.mark.parametrize("design, options", [
    (every_layer(), Options(2)), (every_layer(), FOLDED), (every_image_layer(), FOLDED),
    (every_folded_layer(), FOLDED), (every_folded_layer(), Options(arch="folded", max_lanes=20, lanes=(("last", 0),))),
], ids=["unrolled", "folded", "images", "branches", "lanes"])
def test_every_memory_and_register_of_every_kind_of_layer_is_counted(design, options):
    assert same(design, options)


def test_every_memory_and_register_of_random_networks_is_counted():
    unrolled = sum(same(design, Options(1 + i % 5, 2))
                   for i, design in enumerate(examples(designs(widest=14, deepest=5), 40, 5)))
    drawn = (random_folded(seed) for seed in itertools.count(7_000))
    small = (one for one in drawn if sum(tensor.size for tensor in one[0].tensors.values()) <= 60)
    more = (draw(seed) for seed in range(5) for draw in (random_elements, random_gated))
    assert unrolled > 15 and all(same(*one) for one in (*itertools.islice(small, 20), *more))
