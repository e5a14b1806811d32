"""cocotb test: let the bench play its memory, wake when all samples are through and when it is done, write down what it
counted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from benches.rules import COUNTERS


@cocotb.test()
async def play(dut) -> None:
    start = time.perf_counter()
    await RisingEdge(dut.played)
    seconds = time.perf_counter() - start
    if not int(dut.done.value):
        await RisingEdge(dut.done)
    counters = {name: int(getattr(dut, name).value) for name in COUNTERS}
    Path("result.json").write_text(json.dumps({"seconds": seconds, **counters}))
