"""The blocks that a memory of the RTL takes of each family of devices, against yosys's own mapping."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from icarus import circuit
from memory_mapping import LIBRARIES, counted, mapped

from benchmarks.networks import every_folded_layer, every_image_layer, every_layer, random_folded
from toolkit.design import Design
from toolkit.emit.memory_style import ram_style, rom_style
from toolkit.emit.verilog.declared import declared, module
from toolkit.hardware import Options
from toolkit.hardware.storage import Declared

FOLDED = Options(arch="folded")


def one_memory(name: str, words: int, width: int, written: bool, rng: random.Random) -> str:
    """A module with one memory, declared as the templates declare theirs."""
    place = max((words - 1).bit_length(), 1)
    style = ram_style(words, width) if written else rom_style(words, width)
    fill = "if (we) memory[wa] <= d;" if written else ""
    entries = "" if written else "".join(f"rom[{i}] = {width}'h{rng.getrandbits(width):x}; " for i in range(words))
    array = "memory" if written else "rom"
    return f"""module {name} (input clk, input we, input re, input [{place - 1}:0] wa, input [{place - 1}:0] ra,
    input [{width - 1}:0] d, output [{width - 1}:0] q);
    {style} reg [{width - 1}:0] {array} [0:{words - 1}];
    {f"initial begin {entries} end" if entries else ""}
    reg [{width - 1}:0] read;
    assign q = read;
    always @(posedge clk) begin {fill} if (re) read <= {array}[ra]; end
endmodule
"""


def shapes(count: int, seed: int) -> list[tuple[int, int, bool]]:
    rng = random.Random(seed)
    found = []
    for index in range(count):
        written = bool(index % 2)
        width = int(2 ** rng.uniform(0, 7.5))
        words = min(int(2 ** rng.uniform(1, 14)), (150_000 if written else 6_000) // width)
        found.append((max(words, 2), width, written))
    return found


def hold_shapes(count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    texts = {f"m{i}": one_memory(f"m{i}", *shape, rng) for i, shape in enumerate(shapes(count, seed))}
    memories = {name: list(module(text, name).memories) for name, text in texts.items()}
    found = mapped({"all.v": "".join(texts.values())}, tuple(LIBRARIES), folder)
    for family, modules in found.items():
        for name, made in memories.items():
            assert (family, made, counted(made, family)) == (family, made, modules[name])


def hold_network(design: Design, options: Options, folder: Path,
                 families: tuple[str, ...] = ("ecp5", "ice40", "xc7")) -> None:
    made = circuit(design, options)
    # Of a layer whose output is always the same, yosys keeps nothing.
    if made is None or any((found.output.low == found.output.high).any() for found in design.ranges.values()):
        return
    memories = sum(declared(made.made.files, made.made.top, made.made.modules).values(), Declared()).memories
    folder.mkdir()
    for family, modules in mapped(made.made.files, families, folder).items():
        for name in {one.module for one in memories}:
            own = module(made.made.files[f"{name}.v"], name).memories
            assert (family, own, counted(list(own), family)) == (family, own, modules[name])


def test_memories_of_any_shape_take_as_many_blocks_as_yosys_maps_them_to(tmp_path: Path):
    hold_shapes(30, 5, tmp_path)


@pytest.mark.parametrize("design", [every_layer(), every_image_layer(), every_folded_layer()],
                         ids=["layers", "images", "branches"])
def test_the_memories_of_every_kind_of_layer_take_as_many_blocks_as_yosys_maps_them_to(design, tmp_path: Path):
    hold_network(design, FOLDED, tmp_path / "net")


def test_the_memories_of_random_networks_take_as_many_blocks_as_yosys_maps_them_to(tmp_path: Path):
    for seed in range(8):
        hold_network(*random_folded(seed), tmp_path / str(seed))


@pytest.mark.soak
def test_the_memories_of_sixty_random_networks_and_of_many_shapes_take_as_many_blocks_as_yosys_maps_them_to(tmp_path):
    for seed in range(100, 160):
        hold_network(*random_folded(seed), tmp_path / str(seed), tuple(LIBRARIES))
    for seed in range(4):
        folder = tmp_path / f"shapes{seed}"
        folder.mkdir()
        hold_shapes(60, 200 + seed, folder)
