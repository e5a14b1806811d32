"""Devices, and what each has to give."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.hardware.blocks import FAMILIES, Family

ECP5 = "Lattice FPGA-DS-02012, ECP5 family data sheet, table 1.1"
ICE40HX = "Lattice FPGA-DS-02029, iCE40 LP/HX family data sheet, table 1.1"
ICE40UP = "Lattice FPGA-DS-02008, iCE40 UltraPlus family data sheet, table 1.1; its 1 Mbit without contents left out"
SERIES7 = "AMD DS180, 7 series overview"
ZYNQ = "AMD DS190, Zynq-7000 overview"
ZYNQ_MPSOC = "AMD DS891, Zynq UltraScale+ MPSoC overview; UltraRAM left out"
KINTEX_UP = "AMD DS890, UltraScale architecture overview; UltraRAM left out"
CYCLONE4 = "Intel CYIV-51001, Cyclone IV device family overview"
CYCLONE5 = "Intel CV-51001, Cyclone V device overview; M10K as Quartus counts them"
CYCLONE10LP = "Intel C10LP51001, Cyclone 10 LP device overview"
CYCLONE10GX = "Intel C10GX51001, Cyclone 10 GX device overview"
MAX10 = "Intel M10-OVERVIEW, MAX 10 device overview"
GW1NR = "Gowin DS117, GW1NR series data sheet"
GW1N = "Gowin DS100, GW1N series data sheet"
GW2A = "Gowin DS102, GW2A series data sheet"
GW2AR = "Gowin DS226, GW2AR series data sheet"


@dataclass(frozen=True)
class Device:
    """`luts` of `inputs` inputs (`cells`: what the maker calls them), `blocks` of memory whose contents can be given,
    of the kind that `memory` names, and `multipliers` (DSP blocks). `pins` for signals in the largest package; None
    where that is not known. `family`: whose cells synthesis makes; `place`: the option by which nextpnr-ecp5 knows the
    device, empty where that cannot place it."""

    name: str
    family: str
    luts: int
    inputs: int
    registers: int
    blocks: int
    multipliers: int
    source: str
    place: str = ""
    pins: int | None = None
    memory: str = ""
    cells: str = "LUTs"

    @property
    def memories(self) -> Family:
        """The kinds of memory that it has."""
        return FAMILIES[self.memory or self.family]

    @property
    def ram_bits(self) -> int:
        """Of all blocks, bits of parity too."""
        return self.blocks * self.memories.blocks[0].size


def _lattice(name: str, luts: int, blocks: int, multipliers: int, pins: int, place: str) -> Device:
    return Device(name, "ecp5", luts, 4, luts, blocks, multipliers, ECP5, place, pins)


def _ice40(name: str, luts: int, blocks: int, pins: int, multipliers: int = 0, source: str = ICE40HX) -> Device:
    return Device(f"ice40-{name}", "ice40", luts, 4, luts, blocks, multipliers, source, pins=pins)


def _amd(name: str, luts: int, block36: int, multipliers: int, pins: int | None, source: str = SERIES7,
         family: str = "xc7") -> Device:
    """`block36`: blocks of 36 Kbit, each of which can be two of 18."""
    return Device(name, family, luts, 6, 2 * luts, 2 * block36, multipliers, source, pins=pins)


def _elements(name: str, elements: int, blocks: int, multipliers: int, pins: int, source: str = CYCLONE4) -> Device:
    return Device(name, "intel", elements, 4, elements, blocks, multipliers, source, pins=pins, memory="m9k",
                  cells="logic elements")


def _modules(name: str, modules: int, blocks: int, multipliers: int, source: str = CYCLONE5,
             memory: str = "m10k") -> Device:
    return Device(name, "intel", modules, 6, 4 * modules, blocks, multipliers, source, memory=memory, cells="ALMs")


def _gowin(name: str, luts: int, registers: int, blocks: int, multipliers: int, source: str) -> Device:
    return Device(name, "gowin", luts, 4, registers, blocks, multipliers, source)


DEVICES = {d.name: d for d in (
    _lattice("ecp5-12f", 12_000, 32, 28, 197, "--12k"), _lattice("ecp5-25f", 24_000, 56, 28, 197, "--25k"),
    _lattice("ecp5-45f", 44_000, 108, 72, 245, "--45k"), _lattice("ecp5-85f", 84_000, 208, 156, 365, "--85k"),
    _lattice("ecp5um-25f", 24_000, 56, 28, 197, "--um-25k"), _lattice("ecp5um-45f", 44_000, 108, 72, 245, "--um-45k"),
    _lattice("ecp5um-85f", 84_000, 208, 156, 365, "--um-85k"),
    _ice40("lp1k", 1_280, 16, 95), _ice40("lp4k", 3_520, 20, 167), _ice40("lp8k", 7_680, 32, 178),
    _ice40("hx1k", 1_280, 16, 95), _ice40("hx4k", 3_520, 20, 107), _ice40("hx8k", 7_680, 32, 206),
    _ice40("up3k", 2_800, 20, 39, 4, ICE40UP), _ice40("up5k", 5_280, 30, 39, 8, ICE40UP),
    _amd("xc7s6", 3_750, 5, 10, 100), _amd("xc7s15", 8_000, 10, 20, 100), _amd("xc7s25", 14_600, 45, 80, 150),
    _amd("xc7s50", 32_600, 75, 120, 250), _amd("xc7s75", 48_000, 90, 140, 400), _amd("xc7s100", 64_000, 120, 160, 400),
    _amd("xc7a12t", 8_000, 20, 40, 150), _amd("xc7a15t", 10_400, 25, 45, 250), _amd("xc7a25t", 14_600, 45, 80, 150),
    _amd("xc7a35t", 20_800, 50, 90, 250), _amd("xc7a50t", 32_600, 75, 120, 250), _amd("xc7a75t", 47_200, 105, 180, 300),
    _amd("xc7a100t", 63_400, 135, 240, 300), _amd("xc7a200t", 134_600, 365, 740, 500),
    _amd("xc7k70t", 41_000, 135, 240, 300), _amd("xc7k160t", 101_400, 325, 600, 400),
    _amd("xc7k325t", 203_800, 445, 840, 500), _amd("xc7k410t", 254_200, 795, 1_540, 500),
    _amd("xc7z007s", 14_400, 50, 66, 100, ZYNQ), _amd("xc7z010", 17_600, 60, 80, 100, ZYNQ),
    _amd("xc7z020", 53_200, 140, 220, 200, ZYNQ), _amd("xc7z030", 78_600, 265, 400, None, ZYNQ),
    _amd("xc7z045", 218_600, 545, 900, None, ZYNQ),
    _amd("xczu2eg", 47_232, 150, 240, None, ZYNQ_MPSOC, "xcup"),
    _amd("xczu3eg", 70_560, 216, 360, None, ZYNQ_MPSOC, "xcup"),
    _amd("xczu7eg", 230_400, 312, 1_728, None, ZYNQ_MPSOC, "xcup"),
    _amd("xczu9eg", 274_080, 912, 2_520, None, ZYNQ_MPSOC, "xcup"),
    _amd("xcku3p", 162_720, 360, 1_368, None, KINTEX_UP, "xcup"),
    _amd("xcku5p", 216_960, 480, 1_824, None, KINTEX_UP, "xcup"),
    _elements("ep4ce6", 6_272, 30, 15, 179), _elements("ep4ce10", 10_320, 46, 23, 179),
    _elements("ep4ce15", 15_408, 56, 56, 343), _elements("ep4ce22", 22_320, 66, 66, 153),
    _elements("ep4ce115", 114_480, 432, 266, 528),
    _elements("10cl006", 6_272, 30, 15, 176, CYCLONE10LP), _elements("10cl016", 15_408, 56, 56, 340, CYCLONE10LP),
    _elements("10m08da", 8_064, 42, 24, 250, MAX10), _elements("10m50da", 49_760, 182, 144, 500, MAX10),
    _modules("5ceba4", 18_480, 308, 66), _modules("5csema4", 15_880, 270, 84), _modules("5csema5", 32_070, 397, 87),
    _modules("5cseba6", 41_910, 553, 112),
    _modules("10cx085", 31_000, 291, 84, CYCLONE10GX, "m20k"),
    _modules("10cx220", 80_330, 587, 192, CYCLONE10GX, "m20k"),
    _gowin("gw1n-9", 8_640, 6_480, 26, 20, GW1N), _gowin("gw1nr-9", 8_640, 6_480, 26, 20, GW1NR),
    _gowin("gw2a-18", 20_736, 15_552, 46, 48, GW2A), _gowin("gw2ar-18", 20_736, 15_552, 46, 48, GW2AR),
    _gowin("gw2a-55", 54_720, 41_040, 140, 40, GW2A),
)}
