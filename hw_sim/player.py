"""cocotb test: let the bench play its memory, wake once when it is done, write down what it counted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cocotb
from build import COUNTERS
from cocotb.triggers import RisingEdge


@cocotb.test()
async def play(dut) -> None:
    start = time.perf_counter()
    await RisingEdge(dut.done)
    seconds = time.perf_counter() - start
    counters = {name: int(getattr(dut, name).value) for name in COUNTERS}
    Path("result.json").write_text(json.dumps({"seconds": seconds, **counters}))
