"""A project folder written by hand, byte by byte, so that what the benches read of it is known without the toolkit."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import manifest
from benches import rtl

# Samples of three signed words of 5 bits, two in a beat of 16 bits; results of three unsigned words of 3 bits, two in a
# beat of 8 bits.
SETS = {
    "edges": ([[1, -1, 15], [-16, 0, 3]], "03e1\n000f\n0010\n0003\n", [[1, 2, 3], [7, 0, 5]], "11\n03\n07\n05\n"),
    "random": ([[2, 3, 4], [0, 0, 0], [-1, -1, -1]], "0062\n0004\n0000\n0000\n03ff\n001f\n",
               [[4, 5, 6], [0, 0, 0], [7, 7, 7]], "2c\n06\n00\n00\n3f\n07\n"),
}
INPUTS = bytes.fromhex("e1030f00 10000300 62000400 00000000 ff031f00")
"""The beats of all samples, least significant byte first: four bytes a sample."""
OUTPUTS = bytes.fromhex("1103 0705 2c06 0000 3f07")
MIDDLE = [[3, -8], [7, 0]]
"""Two signed words of 4 bits, the trace of the first layer."""


def npy(rows: list[list[int]], kind: str) -> bytes:
    """A .npy file of integers, as numpy's format says; `kind` as in struct."""
    descr = {"b": "|i1", "B": "|u1", "h": "<i2", "q": "<i8"}[kind]
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}\n".encode()
    words = [word for row in rows for word in row]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + struct.pack(f"<{len(words)}{kind}", *words)


def described() -> dict[str, Any]:
    """The manifest, without the digests of files."""
    return {
        "schema": 4, "name": "net", "trace_samples": 2,
        "input": {"name": "x", "format": "fixed<5,1>", "elements": 3, "width": 5, "signed": True},
        "output": {"name": "y", "format": "ufixed<3,0>", "elements": 3, "width": 3, "signed": False},
        "vectors": [{"name": name, "samples": len(found[0]), "inputs": f"vectors/{name}_in.npy",
                     "expected": f"vectors/{name}_out.npy", "inputs_hex": f"vectors/{name}_in.hex",
                     "expected_hex": f"vectors/{name}_out.hex"} for name, found in SETS.items()],
        "layers": [{"name": "mid", "elements": 2, "width": 4, "signed": True, "trace": "vectors/trace_mid.npy"},
                   {"name": "end", "elements": 3, "width": 3, "signed": False, "trace": "vectors/trace_end.npy"}],
        "targets": {"verilog": {
            "top": "net", "rtl": ["rtl/net.v", "rtl/net_mid.v"], "architecture": "unrolled", "latency": 4,
            "s_axis": {"elements": 2, "beats": 2, "tdata_bits": 16},
            "m_axis": {"elements": 2, "beats": 2, "tdata_bits": 8},
            "schedule": {"ends": [4, 6, 9], "period": 2, "span": 5, "proved": True, "warm_up_cycles": 0},
            "layers": [{"name": "mid", "module": "net_mid", "net": "mid_y"},
                       {"name": "end", "module": "net_end", "net": "end_y"}]}},
    }


def write(folder: Path, **changes: Any) -> Path:
    """The project in `folder`; `changes` of the manifest's top level."""
    files = {"rtl/net.v": b"module net;\nendmodule\n", "rtl/net_mid.v": b"module net_mid;\nendmodule\n",
             "vectors/trace_mid.npy": npy(MIDDLE, "b"), "vectors/trace_end.npy": npy(SETS["edges"][2], "B")}
    for name, (inputs, in_hex, expected, out_hex) in SETS.items():
        files |= {f"vectors/{name}_in.npy": npy(inputs, "b"), f"vectors/{name}_out.npy": npy(expected, "B"),
                  f"vectors/{name}_in.hex": in_hex.encode(), f"vectors/{name}_out.hex": out_hex.encode()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    made = {**described(), "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, **changes}
    (folder / "manifest.json").write_text(json.dumps(made))
    return folder


def loaded(folder: Path, **changes: Any) -> manifest.Manifest:
    return manifest.load(write(folder, **changes))


def parsed(folder: Path, **changes: Any) -> rtl.Rtl:
    """The RTL of the project; `changes` of the target's entry."""
    data = described()
    data["targets"]["verilog"].update(changes)
    return rtl.parse(loaded(folder, targets=data["targets"]))
