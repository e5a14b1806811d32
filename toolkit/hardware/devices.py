"""Devices, and what each has to give."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.utils.errors import InputError

KBIT = 1024
ECP5 = "Lattice FPGA-DS-02012, ECP5 family data sheet, table 1.1"
ICE40HX = "Lattice FPGA-DS-02029, iCE40 LP/HX family data sheet, table 1.1"
ICE40UP = "Lattice FPGA-DS-02008, iCE40 UltraPlus family data sheet, table 1.1; its 1 Mbit without contents left out"
SERIES7 = "AMD DS180, 7 series overview, tables 3 and 4"
ZYNQ = "AMD DS190, Zynq-7000 overview, table 1"


@dataclass(frozen=True)
class Device:
    """`luts` of `inputs` inputs, `ram_bits` of block RAM whose contents can be given, and `multipliers` (DSP blocks);
    `place` is the option by which nextpnr-ecp5 knows it, empty where that cannot place it."""

    name: str
    family: str
    luts: int
    inputs: int
    registers: int
    ram_bits: int
    multipliers: int
    source: str
    place: str = ""


DEVICES = {d.name: d for d in (
    Device("ecp5-12f", "ecp5", 12_000, 4, 12_000, 576 * KBIT, 28, ECP5, "--12k"),
    Device("ecp5-25f", "ecp5", 24_000, 4, 24_000, 1008 * KBIT, 28, ECP5, "--25k"),
    Device("ecp5-45f", "ecp5", 44_000, 4, 44_000, 1944 * KBIT, 72, ECP5, "--45k"),
    Device("ecp5-85f", "ecp5", 84_000, 4, 84_000, 3744 * KBIT, 156, ECP5, "--85k"),
    Device("ice40-hx8k", "ice40", 7_680, 4, 7_680, 128 * KBIT, 0, ICE40HX),
    Device("ice40-up5k", "ice40", 5_280, 4, 5_280, 120 * KBIT, 8, ICE40UP),
    Device("xc7s25", "xc7", 14_600, 6, 29_200, 1_620 * KBIT, 80, SERIES7),
    Device("xc7a35t", "xc7", 20_800, 6, 41_600, 1_800 * KBIT, 90, SERIES7),
    Device("xc7a100t", "xc7", 63_400, 6, 126_800, 4_860 * KBIT, 240, SERIES7),
    Device("xc7z020", "xc7", 53_200, 6, 106_400, 140 * 36 * KBIT, 220, ZYNQ),
)}


def device(name: str) -> Device:
    """The device of a name; upper case and an LFE5U- in the place of ecp5- serve too."""
    plain = name.lower().replace("lfe5u-", "ecp5-")
    if plain not in DEVICES:
        raise InputError(f"there is no device '{name}'; choose one of {', '.join(DEVICES)}")
    return DEVICES[plain]
