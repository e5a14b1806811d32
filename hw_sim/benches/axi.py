"""The checks over AXI4-Stream: a part of the vectors through cocotbext-axi, without stalls and with."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import numpy as np
from launch import Running
from processes import Deadline
from results import Check
from workspace import Workspace

from benches.beats import write_hex
from benches.build import Build
from benches.checks import WARM_UP_MARGIN, Loaded
from benches.compare import of_beats
from benches.rtl import Rtl
from benches.rules import ENOUGH, broken, idle

CYCLES = 60_000
"""That the samples take at the most, were there no stalls."""
CALM = 200
"""Samples that are sent without stalls before it stalls."""
MANY = 128
"""Beats that are stalled at random, from which on enough gaps are certain."""
FULL = 200
"""Clocks that an output waits, at least, while the network fills up."""


def stream(rtl: Rtl, built: Build, loaded: Loaded, *, samples: int, seed: int, deadline: Deadline,
           work: Workspace) -> Check:
    """A random choice of the vectors through cocotbext-axi, without stalls and with."""
    inputs, expected = np.concatenate(loaded.inputs), np.concatenate(loaded.expected)
    chosen = _chosen(rtl, len(inputs), samples, seed)
    source, due = inputs[chosen], expected[chosen]
    calm = max(min(CALM, len(source) // 2), 2)
    place = work.fresh(built.folder / "streamed")
    write_hex(place / "beats.hex", source, rtl.input)
    (place / "job.json").write_text(json.dumps({
        "calm": calm, "latency": rtl.latency, "warm_up": rtl.schedule.warm_up_cycles + WARM_UP_MARGIN, "full": FULL,
        "in_beats": rtl.input.beats, "out_beats": rtl.output.beats,
        "folded": rtl.folded, "patience": 20 * rtl.latency + 1000,
        "seed": random.Random(seed).getrandbits(31)}))
    start = time.perf_counter()
    args = ["+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**30 + 1}"]
    if built.folder.name == "waves":
        args += ["--trace", "--trace-file", str(built.folder.parent / "waves.vcd")]
    running = Running(built.folder, "stream", place, args, seed)
    try:
        running.wait(deadline)
    finally:
        running.stop()
    seconds = time.perf_counter() - start
    result = json.loads((place / "result.json").read_text())
    octets, beats = rtl.output.bits // 8, rtl.output.beats
    lines = (place / "received.hex").read_text().split()
    whole = b"".join(int(line, 16).to_bytes(octets, "little") for line in lines[:len(due) * beats])
    came = len(whole) // rtl.output.octets
    got = np.zeros_like(due)
    got[:came] = np.frombuffer(whole[:came * rtl.output.octets], np.uint8).reshape(got[:came].shape)
    initiation_interval = result["cycles"] / result["gap_count"] if result["gap_count"] else None
    latency = result["latencies"][0] if result["latencies"] else None
    faults = _faults(rtl, result, came, len(due))
    return of_beats("AXI4-Stream", "all", rtl, source, got, due, np.arange(len(due)) < came, seconds,
                    len(due) / seconds, latency, initiation_interval, tuple(faults or _tested(result)))


def _chosen(rtl: Rtl, vectors: int, samples: int, seed: int) -> np.ndarray:
    """Which vectors, in what order: `samples` of them, or as many as there is time for."""
    rng = np.random.default_rng(seed % 2**63)
    count = max(min(samples, int(CYCLES / max(rtl.initiation_interval, rtl.input.beats, rtl.output.beats))), 6)
    if not rtl.folded:
        count = max(count, CALM + 3 * rtl.latency + 48)
    chosen = rng.permutation(vectors)[:count]
    return chosen if len(chosen) == count else rng.integers(0, vectors, count)


def _faults(rtl: Rtl, result: dict[str, Any], came: int, due: int) -> list[str]:
    """What no bit shows: lost and surplus beats, tlast, latency and interval, rules that were broken."""
    found = broken(result, result["obliged"])
    if result["wrong_frames"]:
        found.append(f"tlast: {result['wrong_frames']} frames ended at a wrong beat")
    elif came < due:
        found.append(f"it hung: {came} of {due} outputs came")
    if result["came"] > due * rtl.output.beats:
        found.append(f"{result['came'] - due * rtl.output.beats} beats more than were due came")
    if result["early"]:
        return found
    latencies = result["latencies"]
    # Unrolled, every sample takes as long; folded, the first does, and all others end when the schedule says.
    if latencies and (latencies[0] != rtl.latency or (not rtl.folded and set(latencies) != {rtl.latency})):
        wrong = next(n for n in latencies if n != rtl.latency)
        found.append(f"latency measured {wrong} cycles, promised {rtl.latency}")
    elif rtl.folded:
        late = [i for i, end in enumerate(result["outputs"]) if rtl.schedule.knows(i) and end != rtl.schedule.end(i)]
        if late:
            found.append(f"{late[0] + 1} samples took {result['outputs'][late[0]]} cycles, promised "
                         f"{rtl.schedule.end(late[0])}")
    elif result["gap_count"] and result["cycles"] != rtl.initiation_interval * result["gap_count"]:
        found.append(f"initiation interval measured {result['cycles'] / result['gap_count']:.3f} cycles, promised "
                     f"{rtl.initiation_interval:g}")
    return found


def _tested(result: dict[str, Any]) -> list[str]:
    """Faults of the bench: resets and stalls that it did not make."""
    found = idle("resets with samples under way", result["in_flight"], 1)
    found += idle("outputs that stood before tready rose", result["waited"], max(result["had_to_wait"], 1))
    found += idle("cycles that an output waited while the network filled up", result["filled"], FULL)
    if result["could_stall"] >= ENOUGH:
        found += idle("outputs stalled at random", result["stalled"], 1)
    if result["could_pause"] >= MANY:
        # Where one way to stall follows another the input pauses too: those are not meant.
        found += idle("inputs stalled at random", result["paused"], 4 + result["could_pause"] // 32)
    return found
