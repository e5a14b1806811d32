"""cocotb test: AXI4-Stream by cocotbext-axi. First without stalls, every latency measured; then with random stalls
on both sides and a reset in the midst of the traffic."""

from __future__ import annotations

import json
import logging
import random
from collections import deque
from itertools import pairwise
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

PERIOD = 10


class Bench:
    """The network under test with a source, a sink, and a watch on both streams."""

    def __init__(self, dut, seed: int) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        dut.aresetn.value = 0
        dut.s_axis_tvalid.value = 0
        dut.s_axis_tlast.value = 0
        dut.s_axis_tdata.value = 0
        dut.m_axis_tready.value = 0
        Clock(dut.aclk, PERIOD, "ns").start()
        for side in ("s_axis", "m_axis"):
            logging.getLogger(f"cocotb.bench.{side}").setLevel(logging.WARNING)
        kind = {"reset": dut.aresetn, "reset_active_level": False, "byte_lanes": 1}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **kind)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **kind)

    async def reset(self, settle: int = 2) -> None:
        """Reset, then `settle` clocks in which the network can get ready."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 4)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, settle)

    def stall(self, share: float) -> None:
        """Pause both sides in about `share` of the clocks, in runs of random length."""
        def pauses(r: random.Random):
            while True:
                busy = r.random() >= share
                yield from [not busy] * r.choice((1, 1, 1, 2, 3, 8))

        for side in (self.source, self.sink):
            side.set_pause_generator(pauses(random.Random(self.random.random())))

    def calm(self) -> None:
        for side in (self.source, self.sink):
            side.clear_pause_generator()
            side.pause = False

    async def run(self, samples: list[list[int]], longest: int, patience: int, out_beats: int) -> tuple[list[int], int]:
        """Send samples in frames of up to `longest` of them, drawn at random; returns (beats received, frames whose
        length differs)."""
        at, lengths = 0, []
        while at < len(samples):
            lengths.append(min(self.random.randint(1, longest), len(samples) - at))
            self.source.send_nowait(AxiStreamFrame([b for s in samples[at:at + lengths[-1]] for b in s]))
            at += lengths[-1]
        got: list[int] = []
        wrong = 0
        for length in lengths:
            try:
                frame = await with_timeout(self.sink.recv(), patience * (length + 1) * PERIOD, "ns")
            except cocotb.triggers.SimTimeoutError:
                return got, wrong
            got += list(frame.tdata)
            wrong += len(frame.tdata) != length * out_beats
        return got, wrong


async def watch(dut, job: dict, latencies: list[int], outputs: list[int], stop: Event) -> None:
    """Note for each sample the clocks from its first beat to its last output beat, and when that came."""
    entered: deque[int] = deque()
    clock = taken = given = 0
    while not stop.is_set():
        await RisingEdge(dut.aclk)
        clock += 1
        if int(dut.s_axis_tvalid.value) and int(dut.s_axis_tready.value):
            if taken % job["in_beats"] == 0:
                entered.append(clock)
            taken += 1
        if int(dut.m_axis_tvalid.value) and int(dut.m_axis_tready.value):
            given += 1
            if given % job["out_beats"] == 0:
                outputs.append(clock)
                latencies.append(clock - entered.popleft() if entered else -1)


@cocotb.test()
async def stream(dut) -> None:
    job = json.loads(Path("job.json").read_text())
    beats = [int(b, 16) for b in Path("beats.hex").read_text().split()]
    size, out_beats = job["in_beats"], job["out_beats"]
    samples = [beats[i:i + size] for i in range(0, len(beats), size)]
    # Where tlast goes through the network, a frame may be many samples; else it is one.
    longest = 1 if job["folded"] else 17
    patience = job["patience"]
    bench = Bench(dut, job["seed"])
    await bench.reset(job["settle"])

    # At full speed: latency and interval as they are.
    calm = samples[:job["calm"]]
    latencies: list[int] = []
    outputs: list[int] = []
    stop = Event()
    watcher = cocotb.start_soon(watch(dut, job, latencies, outputs, stop))
    got, wrong_frames = await bench.run(calm, 1 if job["folded"] else len(calm), patience, out_beats)
    stop.set()
    await watcher

    # A reset while samples are under way must leave nothing behind.
    bench.stall(0.3)
    bench.source.send_nowait(AxiStreamFrame(beats[:job["latency"] + 8]))
    await ClockCycles(dut.aclk, job["latency"] // 2 + 3)
    bench.source.clear()
    await bench.reset()
    bench.sink.clear()
    stalled: list[int] = []
    rest = samples[job["calm"]:]
    third = -(-len(rest) // 3)
    for i, share in enumerate((0.5, 0.1, 0.8)):
        part = rest[i * third:(i + 1) * third]
        bench.stall(share)
        received, wrong = await bench.run(part, longest, patience * 20, out_beats)
        stalled += received
        wrong_frames += wrong
        if len(received) != len(part) * out_beats:
            break
    bench.calm()
    await ClockCycles(dut.aclk, 2 * job["latency"] + 16)
    gaps = [b - a for a, b in pairwise(outputs)]
    Path("received.hex").write_text("".join(f"{b:x}\n" for b in got + stalled))
    Path("result.json").write_text(json.dumps({
        "wrong_frames": wrong_frames, "surplus": bench.sink.count(), "latencies": latencies, "clocks": sum(gaps),
        "gaps": len(gaps)}))
