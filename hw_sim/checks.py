"""The checks: every vector through the memory player, a part through AXI4-Stream with stalls, every bit compared."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from beats import read_hex, words, write_hex, wrong_bits
from build import Build
from launch import Running
from processes import Deadline
from results import Check, Mismatch, shares
from rtl import Rtl
from workspace import Workspace

AXI_CLOCKS = 60_000
"""Clocks that the samples of the AXI4-Stream bench take at the most, were there no stalls."""
CALM = 200
"""Samples that the AXI4-Stream bench sends without stalls before it stalls."""
SETTLED = 8
"""Clocks to wait after what begins with padding has gone ahead."""
STALLS = 90, 140
"""Of 256 clocks, those in which the player's source and sink pause."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """The vectors to run, set by set, as beats uint8 (n, bytes)."""

    names: tuple[str, ...]
    inputs: tuple[np.ndarray, ...]
    expected: tuple[np.ndarray, ...]


def load(rtl: Rtl, most: int | None) -> Loaded:
    """All vectors, or `most` of them, taken from every set in proportion."""
    counts = shares([s.samples for s in rtl.vectors], most)
    return Loaded(
        tuple(s.name for s in rtl.vectors),
        tuple(read_hex(s.inputs, rtl.input, s.samples)[:n]
              for s, n in zip(rtl.vectors, counts, strict=True)),
        tuple(read_hex(s.expected, rtl.output, s.samples)[:n]
              for s, n in zip(rtl.vectors, counts, strict=True)))


def play(rtl: Rtl, built: Build, loaded: Loaded, *, stalls: bool, processes: int, seed: int,
         deadline: Deadline, work: Workspace) -> list[Check]:
    """All vectors from memory inside the simulation, in as many processes as there are cores."""
    inputs = np.concatenate(loaded.inputs)
    size = min(built.depth, -(-len(inputs) // processes))
    parts = [(i, min(i + size, len(inputs))) for i in range(0, len(inputs), size)]
    name = "player, stalls" if stalls else "player"
    place = work.fresh(built.folder / ("stalled" if stalls else "played"))
    got = np.zeros((len(inputs), rtl.output.octets), np.uint8)
    valid = np.zeros(len(inputs), bool)
    counts: list[dict[str, Any]] = []
    for number, (begin, end) in enumerate(parts):
        folder = place / str(number)
        folder.mkdir(parents=True)
        write_hex(folder / "inputs.hex", inputs[begin:end], rtl.input)
    start = time.perf_counter()
    for first in range(0, len(parts), processes):
        running = []
        for number, (begin, end) in enumerate(parts[first:first + processes], first):
            args = ["+play", f"+samples={end - begin}", f"+drain={rtl.latency + 64}",
                    f"+settle={rtl.schedule.settle + SETTLED}", f"+patience={20 * rtl.latency + 10_000}",
                    f"+stall_seed={(seed + number) % 2**30 * 2 + 1}", "+verilator+rand+reset+2",
                    f"+verilator+seed+{(seed + number) % 2**30 + 1}"]
            if stalls:
                args += [f"+stall_in={STALLS[0]}", f"+stall_out={STALLS[1]}"]
            running.append(Running(built.folder, "player", place / str(number), args, seed))
        try:
            for one in running:
                one.wait(deadline)
        finally:
            for one in running:
                one.stop()
    seconds = time.perf_counter() - start
    for number, (begin, end) in enumerate(parts):
        counts.append(json.loads((place / str(number) / "result.json").read_text()))
        came = counts[-1]["got"] // rtl.output.beats
        got[begin:begin + came] = read_hex(place / str(number) / "outputs.hex", rtl.output, end - begin)[:came]
        valid[begin:begin + came] = True
    faults = _faults(rtl, counts, parts)
    # Parts of one round run side by side; rounds follow each other.
    rate = len(inputs) / sum(max(c["seconds"] for c in counts[i:i + processes])
                             for i in range(0, len(counts), processes))
    latency, interval = None, None
    if not stalls:
        latency = counts[0]["first_out"] - counts[0]["first_in"]
        done = [c["got"] // rtl.output.beats for c in counts]
        interval = sum(c["last_out"] - c["first_out"] for c in counts) / max(sum(n - 1 for n in done), 1)
        for count, samples in zip(counts, done, strict=True):
            faults += _timing(rtl, samples, count["first_out"] - count["first_in"],
                              count["last_out"] - count["first_in"])
    checks, at = [], 0
    for set_name, source, expected in zip(loaded.names, loaded.inputs, loaded.expected, strict=True):
        here = slice(at, at + len(source))
        checks.append(_compare(name, set_name, rtl, source, got[here], expected, valid[here],
                               seconds * len(source) / len(inputs), rate, latency, interval,
                               tuple(faults)))
        at += len(source)
    return checks


def _faults(rtl: Rtl, counts: list[dict[str, Any]], parts: list[tuple[int, int]]) -> list[str]:
    found = []
    for count, (begin, end) in zip(counts, parts, strict=True):
        if count["hung"]:
            found.append(f"it hung: {count['got'] // rtl.output.beats} of {end - begin} outputs came")
        for key, what in (("wrong_last", "beats carry a wrong tlast"),
                          ("unstable", "times an output changed while it waited for tready"),
                          ("surplus", "beats more than were due came")):
            if count[key]:
                found.append(f"{count[key]} {what}")
    return found


def _timing(rtl: Rtl, samples: int, first: int, last: int) -> list[str]:
    """Every clock from the first input beat to the end of the first sample, and of the last, must be as promised."""
    found = []
    if first != rtl.schedule.end(0):
        found.append(f"latency measured {first} clocks, promised {rtl.schedule.end(0)}")
    elif samples and rtl.schedule.knows(samples - 1) and last != rtl.schedule.end(samples - 1):
        found.append(f"{samples} samples took {last} clocks, promised {rtl.schedule.end(samples - 1)}")
    return found


def stream(rtl: Rtl, built: Build, loaded: Loaded, *, samples: int, seed: int, deadline: Deadline,
           work: Workspace) -> Check:
    """A random choice of the vectors through cocotbext-axi, without stalls and with."""
    inputs, expected = np.concatenate(loaded.inputs), np.concatenate(loaded.expected)
    rng = np.random.default_rng(seed)
    pace = max(rtl.interval, rtl.input.beats, rtl.output.beats)
    count = max(min(samples, int(AXI_CLOCKS / pace)), 6)
    if not rtl.folded:
        count = max(count, CALM + 3 * rtl.latency)
    chosen = rng.permutation(len(inputs))[:count]
    if len(chosen) < count:
        chosen = rng.integers(0, len(inputs), count)
    source, due = inputs[chosen], expected[chosen]
    place = work.fresh(built.folder / "streamed")
    write_hex(place / "beats.hex", source, rtl.input)
    calm = max(min(CALM, len(source) // 2), 2)
    (place / "job.json").write_text(json.dumps({
        "calm": calm, "latency": rtl.latency, "settle": rtl.schedule.settle + SETTLED,
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
    valid = np.arange(len(due)) < came
    faults = []
    if came < len(due):
        faults.append(f"it hung: {came} of {len(due)} outputs came")
    if result["surplus"]:
        faults.append(f"{result['surplus']} frames more than were sent came")
    if result["wrong_frames"]:
        faults.append(f"{result['wrong_frames']} frames ended at a wrong beat")
    interval = result["clocks"] / result["gaps"] if result["gaps"] else None
    latency = result["latencies"][0] if result["latencies"] else None
    # The source of cocotbext-axi may pause between frames: of folded layers only the first sample's clocks are certain.
    if latency is not None and (latency != rtl.latency or (not rtl.folded and set(result["latencies"]) != {latency})):
        faults.append(f"latency measured {latency} clocks, promised {rtl.latency}")
    if not rtl.folded and interval is not None and interval > rtl.interval:
        faults.append(f"initiation interval measured {interval:.3f} clocks, promised {rtl.interval:g}")
    return _compare("AXI4-Stream", "all", rtl, source, got, due, valid, seconds, len(due) / seconds, latency, interval,
                    tuple(faults))


def _compare(bench: str, name: str, rtl: Rtl, source: np.ndarray, got: np.ndarray, expected: np.ndarray,
             valid: np.ndarray, seconds: float, rate: float, latency: int | None, interval: float | None,
             faults: tuple[str, ...]) -> Check:
    """Every bit of the outputs that came against every bit that was due, the padding of the beat included."""
    wrong = np.where(valid, wrong_bits(got, expected), 0)
    mismatch = None
    if wrong.any():
        sample = int(np.flatnonzero(wrong)[0])
        ours, theirs = (words(a[sample:sample + 1], rtl.output)[0] for a in (got, expected))
        different = np.flatnonzero(ours != theirs)
        if len(different):
            element = int(different[0])
            mismatch = Mismatch(name, sample, element, int(ours[element]), int(theirs[element]),
                                rtl.output.width, source[sample].tobytes(), int((wrong > 0).sum()))
        else:
            faults = (*faults, f"padding bits of sample {sample} are not zero")
    return Check(bench, name, len(source), int(valid.sum()) * rtl.output.total * rtl.output.width,
                 int(wrong.sum()), seconds, rate, latency, interval, mismatch, faults)
