"""cocotb test: what every layer makes of a few inputs, one after the other, each until everything has settled."""

from __future__ import annotations

import json
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge


@cocotb.test()
async def probe(dut) -> None:
    job = json.loads(Path("job.json").read_text())
    ends = ("_data", "_valid", "_ready") if job["folded"] else ("",)
    absent = [net for net in job["nets"] if not all(hasattr(dut.dut, net + end) for end in ends)]
    if absent:
        Path("result.json").write_text(json.dumps({"absent": absent}))
        return
    Clock(dut.aclk, 10, "ns").start()
    dut.m_axis_tready.value = 1
    dut.s_axis_tvalid.value = 0
    dut.s_axis_tlast.value = 0
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 3)
    dut.aresetn.value = 1
    beats = [int(beat, 16) for beat in Path("beats.hex").read_text().split()]
    size = job["in_beats"]
    each = flowing if job["folded"] else held
    found = [await each(dut, job, beats[i:i + size]) for i in range(0, len(beats), size)]
    Path("result.json").write_text(json.dumps(found))


async def held(dut, job: dict, beats: list[int]) -> list[str]:
    """Unrolled: the input stands until every layer's output stands."""
    dut.s_axis_tvalid.value = 1
    dut.s_axis_tdata.value = beats[0]
    await ClockCycles(dut.aclk, job["latency"] + 4)
    await ReadOnly()
    found = [f"{int(getattr(dut.dut, net).value):x}" for net in job["nets"]]
    await ClockCycles(dut.aclk, 1)
    return found


async def flowing(dut, job: dict, beats: list[int]) -> list[str]:
    """Folded: the elements of one sample go in; the words that pass each layer's output are collected."""
    streams = [[getattr(dut.dut, f"{net}_{part}") for part in ("data", "valid", "ready")] for net in job["nets"]]
    values, counts = [0] * len(streams), [0] * len(streams)
    sent = 0
    dut.s_axis_tdata.value = beats[0]
    dut.s_axis_tvalid.value = 1
    for _ in range(4 * job["latency"] + 1000):
        await ReadOnly()
        if sent < len(beats) and int(dut.s_axis_tready.value):
            sent += 1
        for i, (data, valid, ready) in enumerate(streams):
            elements, width, word, row = job["sizes"][i]
            if counts[i] < elements and int(valid.value) and int(ready.value):
                # The last word of a row may hold fewer elements than it has room for.
                held = min(word, row - counts[i] % row)
                code = int(data.value[held * width - 1:0])
                values[i] |= code << (counts[i] * width)
                counts[i] += held
        done = all(count >= size[0] for count, size in zip(counts, job["sizes"], strict=True))
        await RisingEdge(dut.aclk)
        dut.s_axis_tvalid.value = int(sent < len(beats))
        dut.s_axis_tdata.value = beats[min(sent, len(beats) - 1)]
        if done:
            break
    dut.s_axis_tvalid.value = 0
    await ClockCycles(dut.aclk, job["latency"] // 4 + 16)
    return [f"{value:x}" for value in values]
