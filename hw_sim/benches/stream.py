"""cocotb test: AXI4-Stream by cocotbext-axi. First without stalls, every latency measured; then a reset in the midst of
the traffic, a sink that waits for tvalid, random stalls on both sides, and a network that is filled up and drained."""

from __future__ import annotations

import json
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from benches.rules import MONITOR

PERIOD = 10
STALLS = 0.5, 0.1, 0.8
"""Shares of the cycles in which both sides pause, one after the other."""
CUT_STALLS = 0.3


class Bench:
    """The network under test with a source, a sink, and a watch on both streams. `got`: beats that came; `wrong`:
    frames that ended at a wrong beat; `obliged`: an output came only when tready had risen."""

    def __init__(self, dut, job: dict) -> None:
        self.dut, self.job = dut, job
        self.random = random.Random(job["seed"])
        self.got: list[int] = []
        self.wrong = 0
        self.hung = self.obliged = False
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

    def count(self, name: str) -> int:
        """A counter of the monitor in bench.v."""
        return int(getattr(self.dut, name).value)

    async def cycles(self, number: int) -> None:
        await ClockCycles(self.dut.aclk, number)

    async def reset(self, warm_up: int = 2) -> None:
        """Reset, then `warm_up` cycles in which the network can get ready. What came before it is forgotten."""
        self.dut.aresetn.value = 0
        await self.cycles(4)
        self.source.clear()
        self.sink.clear()
        self.dut.aresetn.value = 1
        await self.cycles(warm_up)

    async def cut(self, beats: list[int]) -> None:
        """Reset in the midst of traffic. The sink is held before it, so that something is under way for certain."""
        self.stall(CUT_STALLS)
        self.source.send_nowait(AxiStreamFrame(beats))
        await self.cycles(self.random.randint(1, self.job["latency"]) + 3)
        self.sink.clear_pause_generator()
        self.sink.pause = True
        for _ in range(self.job["patience"]):
            if self.count("beats_in") > self.count("due_from"):
                break
            await self.cycles(1)
        await self.reset()
        self.calm()

    def stall(self, share: float) -> None:
        """Pause both sides in about `share` of the cycles, in runs of random length."""
        for side in (self.source, self.sink):
            side.set_pause_generator(pauses(random.Random(self.random.random()), share))

    def wait_for_valid(self) -> None:
        """tready comes only after tvalid."""
        self.sink.set_pause_generator(after_valid(self.dut, random.Random(self.random.random())))

    def wait_for_valid_and_pause(self) -> None:
        """The same, and the source pauses at random."""
        self.wait_for_valid()
        self.source.set_pause_generator(pauses(random.Random(self.random.random()), 0.4))

    def calm(self) -> None:
        for side in (self.source, self.sink):
            side.clear_pause_generator()
            side.pause = False

    async def frame(self) -> list[int] | None:
        """The next frame; None where no beat has moved for `patience` cycles."""
        before = None
        while True:
            try:
                return list((await with_timeout(self.sink.recv(), self.job["patience"] * PERIOD, "ns")).tdata)
            except cocotb.triggers.SimTimeoutError:
                now = self.count("beats_in"), self.count("beats_out")
                if now == before:
                    return None
                before = now

    async def run(self, samples: list[list[int]], *, longest: int = 17, waiting: bool = False) -> None:
        """Send samples in frames of at most `longest` of them, drawn at random, and receive what comes: the same frames
        where tlast goes through the network, else one a sample. `waiting`: the sink waits for tvalid; where nothing
        comes it gives in, to see whether that was what the network waited for."""
        lengths: list[int] = []
        while (left := len(samples) - sum(lengths)) > 0:
            lengths.append(min(longest if longest == len(samples) else self.random.randint(1, longest), left))
            at = len(samples) - left
            self.source.send_nowait(AxiStreamFrame([b for s in samples[at:at + lengths[-1]] for b in s]))
        due = self.count("beats_out") + len(samples) * self.job["out_beats"]
        for length in [1] * len(samples) if self.job["folded"] else lengths:
            frame = await self.frame()
            if frame is None and waiting:
                self.calm()
                frame = await self.frame()
                self.obliged |= frame is not None
            if frame is None:
                # Where every beat came it is tlast that is missing.
                self.wrong += self.count("beats_out") >= due
                self.hung = True
                return
            self.got += frame
            self.wrong += len(frame) != length * self.job["out_beats"]
        await self.cycles(2)  # what is counted lags a cycle behind


def pauses(r: random.Random, share: float) -> Iterator[bool]:
    while True:
        busy = r.random() >= share
        yield from [not busy] * r.choice((1, 1, 1, 2, 3, 8))


def after_valid(dut, r: random.Random) -> Iterator[bool]:
    """Let tready be high for one cycle, some cycles after tvalid rose."""
    wait = 0
    while True:
        if not int(dut.m_axis_tvalid.value) or int(dut.m_axis_tready.value):
            yield True
        elif wait:
            wait -= 1
            yield True
        else:
            wait = r.choice((0, 0, 1, 3))
            yield False
            yield True


async def watch(dut, job: dict, latencies: list[int], outputs: list[int], stop: Event) -> None:
    """Note for each sample the cycles from its first beat to its last output beat, and from the first of all beats to
    that. A sample that comes before its input has no latency; the monitor counts it."""
    entered: deque[int] = deque()
    cycle = taken = given = first = 0
    while not stop.is_set():
        await RisingEdge(dut.aclk)
        cycle += 1
        if int(dut.s_axis_tvalid.value) and int(dut.s_axis_tready.value):
            if taken % job["in_beats"] == 0:
                entered.append(cycle)
            first = first or cycle
            taken += 1
        if int(dut.m_axis_tvalid.value) and int(dut.m_axis_tready.value):
            given += 1
            if given % job["out_beats"] == 0 and entered:
                outputs.append(cycle - first)
                latencies.append(cycle - entered.popleft())


@cocotb.test()
async def stream(dut) -> None:
    job = json.loads(Path("job.json").read_text())
    beats = [int(b, 16) for b in Path("beats.hex").read_text().split()]
    size = job["in_beats"]
    samples = [beats[i:i + size] for i in range(0, len(beats), size)]
    bench = Bench(dut, job)
    await bench.reset(job["warm_up"])
    result: dict[str, int] = {}

    # At full speed: latency and interval as they are.
    latencies: list[int] = []
    outputs: list[int] = []
    stop = Event()
    watcher = cocotb.start_soon(watch(dut, job, latencies, outputs, stop))
    calm = samples[:job["calm"]]
    await bench.run(calm, longest=len(calm))
    stop.set()
    await watcher
    await bench.cycles(job["latency"] + 16)
    came = bench.count("beats_out")

    if not bench.hung:
        # A reset while samples are under way must leave nothing behind.
        await bench.cut(beats[:job["latency"] + 8])
        await rest(bench, samples[job["calm"]:], result)
        bench.calm()
        await bench.cycles(2 * job["latency"] + 16)
        came += bench.count("beats_out")
    gaps = [b - a for a, b in pairwise(outputs)]
    Path("received.hex").write_text("".join(f"{b:x}\n" for b in bench.got))
    Path("result.json").write_text(json.dumps({
        **result, "wrong_frames": bench.wrong, "hung": bench.hung, "obliged": bench.obliged, "came": came,
        "latencies": latencies, "outputs": outputs, "cycles": sum(gaps), "gap_count": len(gaps),
        **{name: bench.count(name) for name in MONITOR}}))


async def rest(bench: Bench, samples: list[list[int]], result: dict[str, int]) -> None:
    """The samples after the reset, at least three, one way to stall after the other as long as there are any; `result`
    gets what was stalled."""
    latency = bench.job["latency"]
    filling = max(len(samples) // (3 + len(STALLS)), min(latency + 8, len(samples) // 2), 1)
    samples, filled = samples[:-filling], samples[-filling:]
    ways: list[Callable[[], None]] = [
        bench.wait_for_valid, *(partial(bench.stall, share) for share in STALLS), bench.wait_for_valid_and_pause]
    ends = [len(samples) * (i + 1) // len(ways) for i in range(len(ways))]
    if len(samples) < len(ways):
        ends = [min(i + 1, len(samples)) for i in range(len(ways))]
    result.update(waited=0, had_to_wait=0, stalled=0, paused=0, could_pause=0, could_stall=0)
    begin = 0
    for way, end in zip(ways, ends, strict=True):
        before = {name: bench.count(name) for name in ("waits", "gaps", "beats_in", "beats_out")}
        way()
        waiting = way in (ways[0], ways[-1])
        await bench.run(samples[begin:end], waiting=waiting)
        bench.calm()
        if bench.hung:
            return
        begin = end
        made = {name: bench.count(name) - count for name, count in before.items()}
        for name, key in ((("waits", "waited"), ("beats_out", "had_to_wait")) if waiting else
                          (("waits", "stalled"), ("gaps", "paused"), ("beats_in", "could_pause"),
                           ("beats_out", "could_stall"))):
            result[key] += made[name]
    bench.sink.pause = True
    running = cocotb.start_soon(bench.run(filled))
    await bench.cycles(2 * latency + bench.job["full"] + 8)
    bench.sink.pause = False
    await running
    result["filled"] = bench.count("longest")
