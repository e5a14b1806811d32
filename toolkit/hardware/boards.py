"""Boards by their names, and how a name is found: a device's, a board's, or neither."""

from __future__ import annotations

from difflib import get_close_matches

from toolkit.hardware.devices import DEVICES, Device
from toolkit.utils.errors import InputError

BOARDS = {
    "icebreaker": "ice40-up5k", "upduino": "ice40-up5k", "icestick": "ice40-hx1k", "alhambra-ii": "ice40-hx4k",
    "tinyfpga-bx": "ice40-lp8k", "ice40-hx8k-b-evn": "ice40-hx8k",
    "ulx3s-12f": "ecp5-12f", "ulx3s-25f": "ecp5-25f", "ulx3s-45f": "ecp5-45f", "ulx3s-85f": "ecp5-85f",
    "orangecrab": "ecp5-25f", "orangecrab-85f": "ecp5-85f", "colorlight-i5": "ecp5-25f", "colorlight-i9": "ecp5-45f",
    "versa-ecp5": "ecp5um-45f", "ecpix-5-85f": "ecp5um-85f",
    "arty-a7-35t": "xc7a35t", "arty-a7-100t": "xc7a100t", "arty-s7-25": "xc7s25", "arty-s7-50": "xc7s50",
    "basys3": "xc7a35t", "cmod-a7-35t": "xc7a35t", "nexys-a7-100t": "xc7a100t", "nexys-video": "xc7a200t",
    "cora-z7-07s": "xc7z007s", "zybo-z7-10": "xc7z010", "zybo-z7-20": "xc7z020", "pynq-z1": "xc7z020",
    "pynq-z2": "xc7z020", "zedboard": "xc7z020", "zc706": "xc7z045", "kc705": "xc7k325t", "ultra96": "xczu3eg",
    "zcu102": "xczu9eg",
    "de0-nano": "ep4ce22", "de2-115": "ep4ce115", "de10-lite": "10m50da", "de0-cv": "5ceba4",
    "de0-nano-soc": "5csema4", "de1-soc": "5csema5", "de10-nano": "5cseba6",
    "tang-nano-9k": "gw1nr-9", "tang-nano-20k": "gw2ar-18", "tang-primer-20k": "gw2a-18",
}
"""The device of each, by the board's documentation; of a board that is sold with several, the name says which."""
NEAREST = 5


def device(name: str) -> Device:
    """The device of a name, or of a board's name; upper case and an LFE5U- in the place of ecp5- serve too."""
    plain = name.lower().replace("lfe5um-", "ecp5um-").replace("lfe5u-", "ecp5-")
    plain = BOARDS.get(plain, plain)
    if plain not in DEVICES:
        near = get_close_matches(plain[:80], [*DEVICES, *BOARDS], NEAREST, 0.3) or [*DEVICES][:NEAREST]
        raise InputError(f"there is no device or board '{name[:80]}'; the nearest names are {', '.join(near)}, and "
                         "docs/estimate.md lists all")
    return DEVICES[plain]
