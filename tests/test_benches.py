"""The benches themselves: every circuit, program and vector that is wrong in one thing is found, and named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from changed_circuits import FAULTS, choose, network, wrapped

from benchmarks.networks import mlp
from toolkit.api import Options, generate, simulate
from toolkit.utils.resources import folder as resource

sys.path.insert(0, str(resource("hw_sim")))

import manifest
import native
import tools
from benches import axi, build, checks, rtl, rules
from benches.beats import bit_errors, carried, of_words, words
from processes import Deadline
from results import Check
from workspace import opened

ARCHITECTURES = ("unrolled", "folded")
NAMED = ("tdata changes while tvalid waits", "tlast changes while tvalid waits", "tvalid is dropped before tready",
         "tvalid waits for tready")


class Circuit:
    """A wrapped project with its simulation built."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.folder = wrapped(folder, architecture)
        self.rtl = rtl.parse(manifest.load(self.folder))
        self.loaded = checks.load(self.rtl, None)
        self.deadline = Deadline(1000)
        with opened(self.folder, self.deadline, print) as work:
            self.built = build.build(self.rtl, tools.require(self.deadline), work, self.deadline)

    def play(self, fault: int, *, stalls: bool = False) -> list[Check]:
        choose(self.folder, fault)
        with opened(self.folder, self.deadline, print) as work:
            return checks.play(self.rtl, self.built, self.loaded, stalls=stalls, processes=1, seed=1,
                               deadline=self.deadline, work=work)

    def stream(self, fault: int) -> Check:
        choose(self.folder, fault)
        with opened(self.folder, self.deadline, print) as work:
            return axi.stream(self.rtl, self.built, self.loaded, samples=250, seed=1, deadline=self.deadline, work=work)


def said(found: list[Check]) -> str:
    lines = [line for c in found for line in c.faults]
    return "\n".join(lines + [c.mismatch.describe() for c in found if c.mismatch])


@pytest.fixture(scope="module", params=ARCHITECTURES)
def circuit(request, tmp_path_factory) -> Circuit:
    return Circuit(tmp_path_factory.mktemp(request.param) / "project", request.param)


def test_the_wrapper_alone_changes_nothing(circuit: Circuit):
    assert said([*circuit.play(0), *circuit.play(0, stalls=True), circuit.stream(0)]) == ""


@pytest.mark.parametrize("name", FAULTS)
def test_a_changed_circuit_fails_in_each_bench_with_what_is_wrong(circuit: Circuit, name):
    fault = FAULTS[name]
    if not (fault.folded if circuit.rtl.folded else fault.unrolled):
        return
    if fault.player:
        assert re.search(fault.player, said(circuit.play(fault.number))), name
    if fault.axi:
        assert re.search(fault.axi, said([circuit.stream(fault.number)])), name


@pytest.mark.parametrize("name", NAMED)
def test_the_rules_are_checked_by_default(circuit: Circuit, name):
    """By what `make sim` runs, without --stalls."""
    choose(circuit.folder, FAULTS[name].number)
    found = simulate(circuit.folder, allow_edited=True, axi_samples=250)
    told = [line for line in found.failures if "AXI4-Stream rule broken" in line and str(FAULTS[name].axi) in line]
    assert not found.ok and {line.split(",")[0] for line in told} == {"player", "AXI4-Stream"}


def test_each_wrong_bit_counts_once_whichever_it_is(circuit: Circuit):
    """Each beat has one wrong bit, another in each beat."""
    number = FAULTS["one bit of each beat is wrong"].number
    for check in (*circuit.play(number), circuit.stream(number)):
        assert check.bit_errors == check.samples * circuit.rtl.output.beats
        assert check.bits == check.samples * 15


def test_padding_counts_as_no_bit_error(circuit: Circuit):
    number = FAULTS["padding is not zero"].number
    for check in (*circuit.play(number), circuit.stream(number)):
        assert (check.bit_errors, check.ber) == (0, 0.0) and "padding bits of tdata are not zero" in said([check])


def test_no_latency_is_negative(circuit: Circuit):
    number = FAULTS["an output comes before its input"].number
    for check in (*circuit.play(number), circuit.stream(number)):
        assert check.latency is None or check.latency > 0


@pytest.mark.parametrize(("total", "elements", "width"), [(15, 4, 5), (3, 3, 5), (7, 1, 3), (8, 8, 8), (5, 2, 12)])
@pytest.mark.parametrize("signed", [False, True])
def test_every_bit_of_a_word_counts_once_and_no_bit_of_padding(total, elements, width, signed):
    bits = -(-elements * width // 8) * 8
    stream = rtl.Stream(total, elements, -(-total // elements), width, signed, bits)
    codes = np.random.default_rng(1).integers(-(1 << width - 1) if signed else 0, 1 << width - 1, (20, total))
    beats = of_words(codes.astype("<i2"), stream)
    assert np.array_equal(words(beats, stream), codes)
    mask = carried(stream)
    flips = np.packbits(np.eye(stream.octets * 8, dtype=np.uint8), axis=1, bitorder="little")
    counted = bit_errors(beats[:1] ^ flips, np.repeat(beats[:1], len(flips), axis=0), mask)
    assert set(counted.tolist()) <= {0, 1} and counted.sum() == total * width
    assert not (beats & ~mask).any()


@pytest.mark.parametrize("signed", [False, True])
def test_every_bit_of_a_program_counts_once_and_what_is_no_code_is_a_fault(signed):
    port = manifest.Port("y", "fixed<5,1>", 3, 5, signed)
    low, high = (-16, 15) if signed else (0, 31)
    kind = native.word_type(port)
    due = np.random.default_rng(2).integers(low, high, (40, 3), endpoint=True).astype(kind)
    one = native.Vectors("some", np.zeros((40, 1), kind), due)

    def compared(got: np.ndarray) -> Check:
        return native.compare("host", one, got.astype(kind).tobytes(), port, 1.0)

    assert not compared(due).bit_errors and not compared(due).faults
    for bit in range(5):
        flipped = due.copy().astype(np.int64)
        flipped[bit] ^= 1 << bit
        if signed:
            flipped = (flipped + 16) % 32 - 16
        found = compared(flipped)
        assert (found.bit_errors, found.bits, found.faults) == (3, 40 * 15, ())
        assert found.mismatch is not None and found.mismatch.sample == bit
    inverse = compared(~due.astype(np.int64) if signed else 31 - due.astype(np.int64))
    assert inverse.ber == 1.0 and not inverse.faults
    beyond = compared(due.astype(np.int64) ^ 0x60)
    assert beyond.bit_errors == 0 and "40 samples hold words that are not codes of fixed<5,1>" in beyond.faults[0]


COUNTS = {**dict.fromkeys(rules.COUNTERS, 0), "in_flight": 3, "after_valid": 128, "gapped": 63, "longest": 70,
          "stalled_in": 9, "stalled_out": 9}


@pytest.mark.parametrize("name", ["in_flight", "after_valid", "gapped", "longest", "stalled_in", "stalled_out"])
def test_a_player_that_does_not_stall_is_found_out(name):
    stream = rtl.Stream(3, 3, 1, 5, True, 16)
    network = rtl.Rtl(Path(), "t", (), stream, stream, False, rtl.Schedule((2,), 1, 1, True, 0), (), (), 1)
    tail = checks.handshake_of(network)
    assert checks._tested(network, tail, COUNTS) == []
    told = checks._tested(network, tail, {**COUNTS, name: 0})
    assert len(told) == 1 and "the bench did not test what it is to test" in told[0]


@pytest.mark.parametrize("name", ["in_flight", "waited", "filled", "stalled", "paused"])
def test_an_axi_bench_that_does_not_stall_is_found_out(name):
    result = {"in_flight": 1, "waited": 9, "had_to_wait": 9, "filled": 200, "stalled": 3, "paused": 9,
              "could_pause": 140, "could_stall": 140}
    assert axi._tested(result) == []
    assert "the bench did not test what it is to test" in axi._tested({**result, name: 0})[0]


BENCH_CHANGES = {
    "the source never pauses": ("stream.py", r"(def stall.*?)for side in \(self.source, self.sink\)",
                                r"\1for side in (self.sink,)", "inputs stalled"),
    "the sink never pauses": ("stream.py", r"(def stall.*?)for side in \(self.source, self.sink\)",
                              r"\1for side in (self.source,)", "outputs stalled"),
    "the sink does not wait for tvalid": ("stream.py", r"self.sink.set_pause_generator\(after_valid.*?\n", "pass\n",
                                          "outputs that stood before tready rose"),
    "no reset in the traffic": ("stream.py", r"self.dut.aresetn.value = 0\n        await", "await",
                                "beats more than were due came"),
    "the network is not filled up": ("stream.py", r"bench.sink.pause = True\n    running", "running", "filled up"),
    "the stalled player does not stall": ("checks.py", r"STALLS = 90, 140", "STALLS = 0, 0", "stalled outputs"),
}


@pytest.mark.parametrize("name", BENCH_CHANGES)
def test_a_changed_bench_says_that_it_does_not_test(circuit: Circuit, tmp_path: Path, name):
    if circuit.rtl.folded:
        return
    file, pattern, text, told = BENCH_CHANGES[name]
    choose(circuit.folder, 0)
    copy = Path(shutil.copytree(resource("hw_sim"), tmp_path / "sim"))
    changed, count = re.subn(pattern, text, (copy / "benches" / file).read_text(), count=1, flags=re.S)
    assert count == 1
    (copy / "benches" / file).write_text(changed)
    way = ["--bench", "axi"] if file == "stream.py" else ["--bench", "player", "--stalls"]
    command = [sys.executable, "-B", copy / "run.py", circuit.folder, "--allow-edited", "--axi-samples", "600", *way]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and told in done.stdout, done.stdout


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A project of RTL and C, built."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    generate(mlp((4, 6, 3)), folder, vectors=200, targets=("verilog", "c"))
    assert simulate(folder, bench="player").ok
    return folder


@pytest.mark.parametrize("file", ["random_out.hex", "random_in.hex", "random_out.npy", "random_in.npy"])
def test_a_corrupted_vector_file_is_told_apart_from_a_wrong_layer(tiny: Path, tmp_path: Path, file):
    project = Path(shutil.copytree(tiny, tmp_path / "project"))
    path = project / "vectors" / file
    data = bytearray(path.read_bytes())
    data[-4] = ord("0") + (data[-4] == ord("0")) if file.endswith("hex") else data[-4] ^ 1
    path.write_bytes(data)
    found = simulate(project, bench="player", targets=("verilog",))
    assert not found.ok
    assert f"'vectors/{file}' differs from what was generated; --allow-edited allows it" in found.failures
    what = "inputs" if "_in" in file else "expected outputs"
    assert any(f"the {what} of 'random' disagree: sample 159" in line for line in found.data["faults"])
    if found.data["mismatch"]:
        assert found.data["diagnosis"]["layer"] is None
        assert f"vectors/{file} differs from what was generated" in found.data["diagnosis"]["note"]
    assert ("hex" in file) == bool(found.data["mismatch"])


def test_expected_outputs_that_were_changed_alike_are_told_apart_from_a_wrong_layer(tiny: Path, tmp_path: Path):
    project = Path(shutil.copytree(tiny, tmp_path / "project"))
    read = rtl.parse(manifest.load(project))
    codes = np.load(project / "vectors" / "boundary_out.npy")
    codes[3, 1] ^= 1
    np.save(project / "vectors" / "boundary_out.npy", codes)
    lines = (project / "vectors" / "boundary_out.hex").read_text().split()
    lines[3] = of_words(codes, read.output)[3][::-1].tobytes().hex()
    (project / "vectors" / "boundary_out.hex").write_text("\n".join(lines) + "\n")
    found = simulate(project, bench="player", targets=("verilog",), allow_edited=True)
    assert not found.ok and not found.data["faults"] and found.data["diagnosis"]["layer"] is None
    assert "vectors/boundary_out.npy differs from what was generated" in found.data["diagnosis"]["note"]


def changed_c(tiny: Path, tmp_path: Path, after: str) -> dict:
    """What the host finds when a statement follows the network's run."""
    project = Path(shutil.copytree(tiny, tmp_path / "project"))
    main = next((project / "c").glob("*_main.c"))
    text, count = re.subn(r"(_run\(input, output\.words\);\n)", rf"\1        {after}\n", main.read_text())
    assert count == 1
    main.write_text(text)
    return simulate(project, targets=("c",), allow_edited=True).data


def test_a_c_program_with_every_bit_wrong_has_a_ber_of_one(tiny: Path, tmp_path: Path):
    inverse = "{ int i; for (i = 0; i < 3; i++) { output.words[i] = (int16_t)~output.words[i]; } }"
    found = changed_c(tiny, tmp_path, inverse)
    assert found["hardware_ber"] == 1.0 and found["bit_errors"] == found["bits"] == 200 * 48


def test_a_c_program_that_writes_beside_its_output_is_found(tiny: Path, tmp_path: Path):
    found = changed_c(tiny, tmp_path, "output.after[0] = 1;")
    assert any("wrote beside its output" in line for check in found["checks"] for line in check["failures"])


HLS_FAULTS = """{ const char* fault = std::getenv("HLS_FAULT");
        const char kind = fault == NULL ? ' ' : *fault;
        if (kind == 'b') packet.data ^= 31;
        if (kind == 'p') packet.data[7] = 1;
        if (kind == 'l') packet.last = 0;
        if (kind == 't') out.write(packet);
        if (kind != 'm') out.write(packet); }"""
HLS_SAYS = {"p": "padding bits of the result are not zero", "l": "wrongly marked as last",
            "t": "wrongly marked as last", "m": "fewer beats than a result has"}


def test_an_hls_program_that_is_wrong_is_found(tmp_path: Path, monkeypatch):
    """One program, whose fault the environment names: every bit inverted, padding, tlast, beats twice or missing."""
    project = tmp_path / "project"
    generate(network(), project, vectors=100, targets=("hls",), options=Options(arch="folded"))
    layers = next((project / "hls").glob("*_layers.h"))
    text = layers.read_text()
    assert text.count("out.write(packet);") == 1
    layers.write_text("#include <cstdlib>\n" + text.replace("out.write(packet);", HLS_FAULTS))
    assert simulate(project, allow_edited=True).ok
    monkeypatch.setenv("HLS_FAULT", "b")
    found = simulate(project, allow_edited=True)
    assert found.hardware_ber == 1.0 and found.bits == 100 * 15 and not found.data["faults"]
    for kind, told in HLS_SAYS.items():
        monkeypatch.setenv("HLS_FAULT", kind)
        assert any(re.search(told, line) for line in simulate(project, allow_edited=True).failures), kind
