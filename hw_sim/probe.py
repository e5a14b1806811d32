"""cocotb test: hold one input until every layer has settled, and read every layer's output."""

from __future__ import annotations

import json
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly


@cocotb.test()
async def probe(dut) -> None:
    job = json.loads(Path("job.json").read_text())
    Clock(dut.aclk, 10, "ns").start()
    dut.m_axis_tready.value = 1
    dut.s_axis_tvalid.value = 1
    dut.s_axis_tlast.value = 0
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 2)
    dut.aresetn.value = 1
    found = []
    for beat in Path("beats.hex").read_text().split():
        dut.s_axis_tdata.value = int(beat, 16)
        await ClockCycles(dut.aclk, job["latency"] + 4)
        await ReadOnly()
        found.append([f"{int(getattr(dut.dut, net).value):x}" for net in job["nets"]])
        await ClockCycles(dut.aclk, 1)
    Path("result.json").write_text(json.dumps(found))
