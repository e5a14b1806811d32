"""The memory player's checks: every vector, every cycle of it, and every rule of the handshake."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from launch import Running
from manifest import identifier
from processes import Deadline
from results import Check, shares
from workspace import Workspace

from benches.beats import read_hex, words, write_hex
from benches.build import Build
from benches.compare import of_beats
from benches.handshake import MARGIN, RESETS, Handshake, handshake_of
from benches.rtl import Rtl
from benches.rules import ENOUGH, broken, idle

WARM_UP_MARGIN = 8
"""Clocks to wait after what begins with padding has gone ahead."""
STALLS = 90, 140
"""Of 256 cycles, those in which the player's source and sink pause."""


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


@dataclass(frozen=True)
class Part:
    """What one process plays: samples `begin` to `end`, then those of the tail where it has one (their indices)."""

    begin: int
    end: int
    tail: np.ndarray

    @property
    def samples(self) -> int:
        """Without the tail."""
        return self.end - self.begin


def play(rtl: Rtl, built: Build, loaded: Loaded, *, stalls: bool, processes: int, seed: int,
         deadline: Deadline, work: Workspace, keep: bool = False) -> list[Check]:
    """All vectors from memory inside the simulation, in as many processes as there are cores. At full speed, the last
    process plays some of them once more under stalls and after resets. `keep`: what came out is written to
    build/outputs/, a .npy file a set."""
    inputs, expected = np.concatenate(loaded.inputs), np.concatenate(loaded.expected)
    size = min(built.depth, -(-len(inputs) // processes))
    begins = range(0, len(inputs), size)
    tail = None if stalls else handshake_of(rtl)
    again = np.random.default_rng(seed % 2**63).integers(0, len(inputs), tail.samples if tail else 0)
    parts = [Part(i, min(i + size, len(inputs)), again if i == begins[-1] else again[:0]) for i in begins]
    place = work.fresh(built.folder / ("stalled" if stalls else "played"))
    for number, part in enumerate(parts):
        (place / str(number)).mkdir(parents=True)
        write_hex(place / str(number) / "inputs.hex", np.concatenate([inputs[part.begin:part.end], inputs[part.tail]]),
                  rtl.input)
    start = time.perf_counter()
    for first in range(0, len(parts), processes):
        running = [Running(built.folder, "player", place / str(number),
                           _arguments(rtl, part, tail, stalls, seed + number), seed)
                   for number, part in enumerate(parts[first:first + processes], first)]
        try:
            for one in running:
                one.wait(deadline)
        finally:
            for one in running:
                one.stop()
    seconds = time.perf_counter() - start
    counts: list[dict[str, Any]] = []
    got = np.zeros((len(inputs) + len(again), rtl.output.octets), np.uint8)
    valid = np.zeros(len(got), bool)
    for number, part in enumerate(parts):
        counts.append(json.loads((place / str(number) / "result.json").read_text()))
        all_of_it = part.samples + len(part.tail)
        came = counts[-1]["got"] // rtl.output.beats
        found = read_hex(place / str(number) / "outputs.hex", rtl.output, all_of_it)
        got[part.begin:part.begin + all_of_it] = found
        valid[part.begin:part.begin + came] = True
    # Parts of one round run side by side; rounds follow each other.
    rate = len(inputs) / sum(max(c["seconds"] for c in counts[i:i + processes])
                             for i in range(0, len(counts), processes))
    if keep:
        _keep(rtl, loaded, got, work)
    checks = _sets(rtl, loaded, stalls, parts, counts, got, valid, seconds, rate)
    if tail is not None and counts[-1]["got"] >= parts[-1].samples * rtl.output.beats:
        faults = broken(counts[-1], counts[-1]["obliged"])
        if not faults and not any(check.faults for check in checks):
            faults = _tested(rtl, tail, counts[-1])
        checks.append(of_beats("player, handshake", "all", rtl, inputs[again], got[len(inputs):], expected[again],
                               valid[len(inputs):], 0.0, rate, None, None, tuple(faults)))
    return checks


def _keep(rtl: Rtl, loaded: Loaded, got: np.ndarray, work: Workspace) -> None:
    """Write the outputs of each set as integer codes (n, elements of a sample); a sample that did not come is zeros."""
    at = 0
    for name, source in zip(loaded.names, loaded.inputs, strict=True):
        found = words(got[at:at + len(source)], rtl.output)
        path = work.file(rtl.folder / "build" / "outputs" / f"{identifier(name)}.npy")
        np.save(path, found.astype(np.min_scalar_type(-(1 << rtl.output.width))))
        at += len(source)


def _arguments(rtl: Rtl, part: Part, tail: Handshake | None, stalls: bool, seed: int) -> list[str]:
    args = ["+play", f"+samples={part.samples + len(part.tail)}", f"+drain={rtl.latency + 64}",
            f"+warm_up={rtl.schedule.warm_up_cycles + WARM_UP_MARGIN}", f"+patience={20 * rtl.latency + 10_000}",
            f"+stall_seed={seed % 2**30 * 2 + 1}", "+verilator+rand+reset+2", f"+verilator+seed+{seed % 2**30 + 1}"]
    if stalls:
        args += [f"+stall_in={STALLS[0]}", f"+stall_out={STALLS[1]}"]
    return args + (tail.args if tail is not None and len(part.tail) else [])


def _sets(rtl: Rtl, loaded: Loaded, stalls: bool, parts: list[Part], counts: list[dict[str, Any]], got: np.ndarray,
          valid: np.ndarray, seconds: float, rate: float) -> list[Check]:
    """One check for each set of vectors."""
    faults = _faults(rtl, counts, parts)
    latency, initiation_interval = None, None
    if stalls:
        for count, part in zip(counts, parts, strict=True):
            if part.samples * min(rtl.input.beats, rtl.output.beats) >= ENOUGH and not faults:
                faults += idle("stalled outputs", count["waits"], 1) + idle("gaps in the input", count["gaps"], 1)
    else:
        done = [min(c["got"] // rtl.output.beats, p.samples) for c, p in zip(counts, parts, strict=True)]
        if not any(c["early"] for c in counts):
            latency = counts[0]["first_out"] - counts[0]["first_in"]
            initiation_interval = sum(c["last_out"] - c["first_out"] for c in counts) / max(sum(n - 1 for n in done), 1)
        for count, samples in zip(counts, done, strict=True):
            if not count["early"]:
                faults += _timing(rtl, samples, count["first_out"] - count["first_in"],
                                  count["last_out"] - count["first_in"])
    name = "player, stalls" if stalls else "player"
    checks, at = [], 0
    for set_name, source, expected in zip(loaded.names, loaded.inputs, loaded.expected, strict=True):
        here = slice(at, at + len(source))
        checks.append(of_beats(name, set_name, rtl, source, got[here], expected, valid[here],
                               seconds * len(source) / sum(map(len, loaded.inputs)), rate, latency, initiation_interval,
                               tuple(faults)))
        at += len(source)
    return checks


def _faults(rtl: Rtl, counts: list[dict[str, Any]], parts: list[Part]) -> list[str]:
    """What no bit shows: lost and surplus beats, tlast, and rules that were broken, where no tail would tell them."""
    found = list[str]()
    for count, part in zip(counts, parts, strict=True):
        played = count["got"] // rtl.output.beats - part.samples
        if count["hung"]:
            found.append(f"it hung: {played + part.samples} of {part.samples} outputs came" if played < 0 else
                         f"it hung under stalls: {played} of {len(part.tail)} outputs came")
        for key, what in (("wrong_last", "beats carry a wrong tlast"), ("surplus", "beats more than were due came")):
            if count[key]:
                found.append(f"{count[key]} {what}")
        if not len(part.tail) or played < 0:
            found += broken(count, count["obliged"])
    return found


def _tested(rtl: Rtl, tail: Handshake, count: dict[str, Any]) -> list[str]:
    """Faults of the bench: kinds of stalls that it did not make, unless the network hung before. And of a network whose
    first output comes at another time with tready low than with tready high."""
    if count["hung"]:
        return []
    found = idle("resets with samples under way", count["in_flight"], RESETS)
    found += idle("outputs that stood before tready rose", count["after_valid"], 2 * tail.quarter * rtl.output.beats)
    found += idle("gaps in the input", count["gapped"], tail.quarter * rtl.input.beats - 1)
    found += idle("cycles that an output waited while the network filled up", count["longest"], MARGIN)
    if tail.quarter * min(rtl.input.beats, rtl.output.beats) >= ENOUGH:
        found += idle("outputs stalled at random", count["stalled_out"], 1)
        found += idle("inputs stalled at random", count["stalled_in"], 1)
    if not count["ahead"] and count["first_valid"] != count["tried_valid"]:
        found.append("AXI4-Stream rule broken: tvalid must not wait for tready; the first output came "
                     f"{count['first_valid']} cycles after the first input with tready high, {count['tried_valid']} "
                     "with tready low")
    return found


def _timing(rtl: Rtl, samples: int, first: int, last: int) -> list[str]:
    """Every cycle from the first input beat to the end of the first sample, and of the last, must be as promised."""
    found = []
    if samples and first != rtl.schedule.end(0):
        found.append(f"latency measured {first} cycles, promised {rtl.schedule.end(0)}")
    elif samples and rtl.schedule.knows(samples - 1) and last != rtl.schedule.end(samples - 1):
        found.append(f"{samples} samples took {last} cycles, promised {rtl.schedule.end(samples - 1)}")
    return found
