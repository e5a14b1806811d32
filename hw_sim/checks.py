"""The checks: every vector through the memory player, a part through AXI4-Stream with stalls, every bit compared."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from beats import read_hex, words, write_hex, wrong_bits
from build import Build
from launch import Running
from results import Check, Mismatch, shares
from rtl import Rtl

CALM = 200
"""Samples that the AXI4-Stream bench sends without stalls before it stalls."""
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
        tuple(read_hex(s.inputs, rtl.input.bits, s.samples)[:n]
              for s, n in zip(rtl.vectors, counts, strict=True)),
        tuple(read_hex(s.expected, rtl.output.bits, s.samples)[:n]
              for s, n in zip(rtl.vectors, counts, strict=True)))


def play(rtl: Rtl, built: Build, loaded: Loaded, *, stalls: bool, processes: int, seed: int,
         timeout: float) -> list[Check]:
    """All vectors from memory inside the simulation, in as many processes as there are cores."""
    inputs = np.concatenate(loaded.inputs)
    size = min(built.depth, -(-len(inputs) // processes))
    parts = [(i, min(i + size, len(inputs))) for i in range(0, len(inputs), size)]
    name = "player, stalls" if stalls else "player"
    work = built.folder / ("stalled" if stalls else "played")
    shutil.rmtree(work, ignore_errors=True)
    got = np.zeros((len(inputs), rtl.output.bits // 8), np.uint8)
    valid = np.zeros(len(inputs), bool)
    counts: list[dict[str, Any]] = []
    for number, (begin, end) in enumerate(parts):
        folder = work / str(number)
        folder.mkdir(parents=True)
        write_hex(folder / "inputs.hex", inputs[begin:end])
    start = time.perf_counter()
    for first in range(0, len(parts), processes):
        running = []
        for number, (begin, end) in enumerate(parts[first:first + processes], first):
            args = ["+play", f"+samples={end - begin}", f"+drain={rtl.latency + 64}",
                    f"+patience={20 * rtl.latency + 10_000}", f"+stall_seed={(seed + number) % 2**30 * 2 + 1}",
                    "+verilator+rand+reset+2", f"+verilator+seed+{(seed + number) % 2**30 + 1}"]
            if stalls:
                args += [f"+stall_in={STALLS[0]}", f"+stall_out={STALLS[1]}"]
            running.append(Running(built.folder, "player", work / str(number), args, seed))
        try:
            for one in running:
                one.wait(timeout)
        finally:
            for one in running:
                one.stop()
    seconds = time.perf_counter() - start
    for number, (begin, _) in enumerate(parts):
        counts.append(json.loads((work / str(number) / "result.json").read_text()))
        text = (work / str(number) / "outputs.hex").read_bytes()
        line = rtl.output.bits // 4 + 1
        rows = np.frombuffer(text, np.uint8).reshape(-1, line)[:, :-1]
        octets = np.frombuffer(bytes.fromhex(rows.tobytes().decode()), np.uint8).reshape(len(rows), -1)[:, ::-1]
        count = counts[-1]["got"]
        got[begin:begin + count] = octets[:count]
        valid[begin:begin + count] = True
    faults = _faults(counts, parts)
    # Parts of one round run side by side; rounds follow each other.
    rate = len(inputs) / sum(max(c["seconds"] for c in counts[i:i + processes])
                             for i in range(0, len(counts), processes))
    latency, interval = None, None
    if not stalls:
        latency = counts[0]["first_out"] - counts[0]["first_in"]
        taken = [(c["last_out"] - c["first_out"], c["got"] - 1) for c in counts]
        interval = sum(t for t, _ in taken) / max(sum(n for _, n in taken), 1)
        faults += _timing(rtl, {c["first_out"] - c["first_in"] for c in counts}, interval)
    checks, at = [], 0
    for set_name, source, expected in zip(loaded.names, loaded.inputs, loaded.expected, strict=True):
        here = slice(at, at + len(source))
        checks.append(_compare(name, set_name, rtl, source, got[here], expected, valid[here],
                               seconds * len(source) / len(inputs), rate, latency, interval,
                               tuple(faults)))
        at += len(source)
    return checks


def _faults(counts: list[dict[str, Any]], parts: list[tuple[int, int]]) -> list[str]:
    found = []
    for count, (begin, end) in zip(counts, parts, strict=True):
        if count["hung"]:
            found.append(f"it hung: {count['got']} of {end - begin} outputs came")
        for key, what in (("wrong_last", "outputs carry another tlast than their input"),
                          ("unstable", "times an output changed while it waited for tready"),
                          ("surplus", "outputs more than inputs came")):
            if count[key]:
                found.append(f"{count[key]} {what}")
    return found


def _timing(rtl: Rtl, latencies: set[int], interval: float) -> list[str]:
    found = []
    if latencies != {rtl.latency}:
        found.append(f"latency measured {', '.join(map(str, sorted(latencies)))} clocks, promised {rtl.latency}")
    if interval > rtl.interval:
        found.append(f"initiation interval measured {interval:.3f} clocks, promised {rtl.interval:g}")
    return found


def stream(rtl: Rtl, built: Build, loaded: Loaded, *, samples: int, seed: int, timeout: float) -> Check:
    """A random choice of the vectors through cocotbext-axi, without stalls and with."""
    inputs, expected = np.concatenate(loaded.inputs), np.concatenate(loaded.expected)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(inputs))[:samples]
    if len(chosen) < CALM + 3 * rtl.latency:
        chosen = rng.integers(0, len(inputs), CALM + 3 * rtl.latency)
    source, due = inputs[chosen], expected[chosen]
    work = built.folder / "streamed"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_hex(work / "beats.hex", source)
    calm = max(min(CALM, len(source) // 2), 2)
    (work / "job.json").write_text(json.dumps({
        "calm": calm, "latency": rtl.latency, "patience": 20 * rtl.latency + 1000,
        "seed": random.Random(seed).getrandbits(31)}))
    start = time.perf_counter()
    args = ["+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**30 + 1}"]
    if built.folder.name == "waves":
        args += ["--trace", "--trace-file", str(built.folder.parent / "waves.vcd")]
    running = Running(built.folder, "stream", work, args, seed)
    try:
        running.wait(timeout)
    finally:
        running.stop()
    seconds = time.perf_counter() - start
    result = json.loads((work / "result.json").read_text())
    size = rtl.output.bits // 8
    lines = (work / "received.hex").read_text().split()[:len(due)]
    got = np.zeros_like(due)
    for i, line in enumerate(lines):
        got[i] = np.frombuffer(int(line, 16).to_bytes(size, "little"), np.uint8)
    valid = np.arange(len(due)) < len(lines)
    faults = []
    if result["received"] < len(due):
        faults.append(f"it hung: {result['received']} of {len(due)} outputs came")
    if result["surplus"]:
        faults.append(f"{result['surplus']} frames more than were sent came")
    if result["wrong_frames"]:
        faults.append(f"{result['wrong_frames']} frames ended at another beat than their input")
    interval = result["clocks"] / result["gaps"] if result["gaps"] else None
    if interval is not None:
        faults += _timing(rtl, {result["latency_min"], result["latency_max"]}, interval)
    return _compare("AXI4-Stream", "all", rtl, source, got, due, valid, seconds, len(due) / seconds,
                    result["latency_max"], interval, tuple(faults))


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
    return Check(bench, name, len(source), int(valid.sum()) * rtl.output.elements * rtl.output.width,
                 int(wrong.sum()), seconds, rate, latency, interval, mismatch, faults)
