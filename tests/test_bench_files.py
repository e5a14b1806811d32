"""What the benches read of a project, and how they compare it: expectations written by hand, nothing simulated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import errors
import manifest
import native
import numpy as np
import pytest
import results
import safe_files
import vector_files
from bench_project import INPUTS, MIDDLE, OUTPUTS, SETS, described, loaded, npy, parsed, write
from benches import beats, checks, compare, handshake, rtl, rules
from npy import read as read_npy
from printable import printable


def refused(match: str):
    return pytest.raises(errors.BadFolder, match=match)


# The manifest.

def test_a_manifest_is_read_as_it_was_written(tmp_path: Path):
    found = loaded(tmp_path)
    assert found.folder == tmp_path.resolve() and found.name == "net"
    assert found.input == manifest.Port("x", "fixed<5,1>", 3, 5, True)
    assert found.output == manifest.Port("y", "ufixed<3,0>", 3, 3, False)
    place = tmp_path.resolve() / "vectors"
    assert found.vectors == (
        manifest.VectorSet("edges", 2, place / "edges_in.npy", place / "edges_out.npy", place / "edges_in.hex",
                           place / "edges_out.hex"),
        manifest.VectorSet("random", 3, place / "random_in.npy", place / "random_out.npy", place / "random_in.hex",
                           place / "random_out.hex"))
    assert found.layers == (manifest.LayerInfo("mid", 2, 4, True, place / "trace_mid.npy"),
                            manifest.LayerInfo("end", 3, 3, False, place / "trace_end.npy"))
    assert (found.samples, found.trace_samples, list(found.targets)) == (5, 2, ["verilog"])
    assert found.targets["verilog"]["top"] == "net" and len(found.files) == 12 and found.changed() == []


def test_vectors_without_hex_files_have_none(tmp_path: Path):
    sets = described()["vectors"]
    for one in sets:
        del one["inputs_hex"], one["expected_hex"]
    found = loaded(tmp_path, vectors=sets)
    assert [(s.inputs_hex, s.expected_hex) for s in found.vectors] == [(None, None)] * 2
    with refused("names no hex files for the vectors 'edges'"):
        rtl.parse(found)


def test_files_that_changed_or_are_gone_are_named(tmp_path: Path):
    found = loaded(tmp_path)
    (tmp_path / "rtl" / "net.v").write_text("other")
    (tmp_path / "vectors" / "edges_in.hex").unlink()
    assert found.changed() == ["rtl/net.v", "vectors/edges_in.hex"]


@pytest.mark.parametrize("change, match", [
    ({"schema": 2}, "has schema 2; these benches read schema 4"), ({"schema": None}, "has schema None"),
    ({"vectors": []}, "names no vectors"), ({"targets": {}}, "names no targets"),
    ({"name": float("inf")}, "is not finite"), ({"input": None}, "is damaged: TypeError"),
    ({"layers": [{"name": "x"}]}, "is damaged: KeyError at 'elements'"), ({"files": 3}, "is damaged: AttributeError"),
    ({"trace_samples": 0}, r"trace_samples is 0, outside 1..67108864"), ({"trace_samples": True}, "is True"),
    ({"trace_samples": 2.0}, "is 2.0"), ({"trace_samples": (1 << 26) + 1}, "is 67108865"),
    ({"files": {"a b": ""}}, "the file 'a b', which is not a plain relative path"),
    ({"files": {"/etc/passwd": ""}}, "not a plain relative path"), ({"files": {"-x": ""}}, "not a plain relative path"),
    ({"files": {"a/../../b": ""}}, "'a/../../b', which lies outside the folder"),
    ({"files": {"a" * 1002: ""}}, "not a plain relative path"), ({"name": "\ud800"}, "cannot be read"),
])
def test_a_manifest_that_is_wrong_says_where(tmp_path: Path, change, match):
    with refused(match):
        loaded(tmp_path, **change)


def test_the_largest_figures_and_the_longest_names_are_taken(tmp_path: Path):
    found = loaded(tmp_path, trace_samples=1 << 26, files={"A" * 100: "d"})
    assert found.trace_samples == 1 << 26 and found.files == {"A" * 100: "d"}
    assert manifest.count(1, "n", 1) == 1 and manifest.count(0, "n", 1, 0) == 0
    with refused("the manifest's n is 0, outside 1..5"):
        manifest.count(0, "n", 5)
    assert manifest.identifier("a" * 200) == "a" * 200
    for wrong in ("a" * 201, "1a", "a-b", "", "_a", 3, None):
        with refused("which is not an identifier"):
            manifest.identifier(wrong)


@pytest.mark.parametrize("text, match", [
    ("[1]", "holds no JSON object"), ("{", "cannot be read"), ("[" * 100_000, "it is nested too deeply"),
    ('{"schema": 1e999}', "is not finite"), ("\xff", "cannot be read")])
def test_a_manifest_that_is_no_manifest_is_refused(tmp_path: Path, text, match):
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with refused(match):
        manifest.load(tmp_path)


def test_a_folder_without_a_manifest_and_what_is_no_folder_are_refused(tmp_path: Path):
    with refused("has no manifest.json; give the folder"):
        manifest.load(tmp_path)
    with refused("is not a folder; give the folder"):
        manifest.load(tmp_path / "none")
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate((1 << 25) + 1)
    with refused("33,554,433 bytes; 33,554,432 is the most"):
        manifest.load(tmp_path)


def test_a_link_anywhere_in_the_folders_that_are_used_is_refused(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "rtl" / "more").symlink_to("/etc/passwd")
    with refused(r"more' is a link; nothing is followed in a project"):
        manifest.load(tmp_path)
    (tmp_path / "rtl" / "more").unlink()
    os.mkfifo(tmp_path / "rtl" / "more")
    with refused("neither a file nor a folder; remove it"):
        manifest.load(tmp_path)


# Files.

def test_a_path_is_checked_link_by_link(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    safe_files.check(tmp_path, tmp_path / "a" / "b" / "file")
    safe_files.check(tmp_path, tmp_path / "a" / "none" / "file")
    shutil.move(tmp_path / "a", tmp_path / "c")
    (tmp_path / "a").symlink_to(tmp_path / "c")
    with refused(r"/a' is a link"):
        safe_files.check(tmp_path, tmp_path / "a" / "b" / "file")


def test_files_are_walked_in_order(tmp_path: Path):
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [str(p.relative_to(tmp_path)) for p in safe_files.walk(tmp_path)] == ["a", "b/1", "b/2", "c/d/e"]
    assert list(safe_files.walk(tmp_path / "none")) == []
    with refused("/a' cannot be read: Not a directory"):
        list(safe_files.walk(tmp_path / "a"))


def test_a_file_is_read_whole_or_refused(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    assert safe_files.read(tmp_path / "a") == safe_files.read(tmp_path / "a", 5) == b"12345"
    with refused("holds 5 bytes; 4 is the most supported"):
        safe_files.read(tmp_path / "a", 4)
    (tmp_path / "link").symlink_to("a")
    with refused("link' cannot be read: it is a link"):
        safe_files.read(tmp_path / "link")
    with refused("none' cannot be read: No such file"):
        safe_files.read(tmp_path / "none")
    with refused("cannot be read: it is not a plain file"):
        safe_files.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with refused("cannot be read: it is not a plain file"):
        safe_files.read(tmp_path / "pipe")
    assert safe_files.MAX_FILE == 16 << 30


def test_what_moves_a_cursor_is_a_question_mark():
    assert printable("a\x1b[2Jb\u202ec\nd") == "a?[2Jb?c?d" and printable("Ünder 5 µs") == "Ünder 5 µs"
    assert str(errors.SimulationError("one\x07\ntwo\r")) == "one?\ntwo"
    assert [e.exit_code for e in (errors.SimulationError, errors.BadFolder, errors.NoTool)] == [1, 2, 3]


def test_an_npy_file_is_read_by_what_is_due(tmp_path: Path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy([[1, -2, 3], [4, 5, -6]], "h"))
    assert read_npy(path, np.dtype("<i2"), 2, 3).tolist() == [[1, -2, 3], [4, 5, -6]]
    for kind, shape, said in (("<i4", (2, 3), "holds int16 of shape .2, 3.; int32"), ("<i2", (3, 2), r"\(3, 2\) was"),
                              ("<i2", (2, 4), r"\(2, 4\) was"), ("<u2", (2, 3), "uint16")):
        with refused(said):
            read_npy(path, np.dtype(kind), *shape)
    whole = path.read_bytes()
    for damaged, said in ((whole[:-1], "holds 11 bytes; .2, 3. of int16 take 12"), (whole + b"x", "holds 13 bytes"),
                          (whole.replace(b"\x01\x00", b"\x02\x00", 1), "is not a .npy file of integers"),
                          (whole.replace(b"False", b"True "), "is not a .npy file"), (b"", "is not a .npy file"),
                          (whole.replace(b"<i2", b">i2"), "is not a .npy file")):
        path.write_bytes(damaged)
        with refused(said):
            read_npy(path, np.dtype("<i2"), 2, 3)


@pytest.mark.parametrize("length, fine", [(1023, True), (1024, False)])
def test_a_header_may_be_just_so_long(tmp_path: Path, length, fine):
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1), }"
    text += b" " * (length - 1 - len(text)) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\x07")
    if fine:
        assert read_npy(tmp_path / "a.npy", np.dtype("u1"), 1, 1).tolist() == [[7]]
    else:
        with refused("is not a .npy file"):
            read_npy(tmp_path / "a.npy", np.dtype("u1"), 1, 1)


# The RTL's entry.

def test_the_entry_of_the_rtl_is_read_as_it_was_written(tmp_path: Path):
    found = parsed(tmp_path)
    folder = tmp_path.resolve()
    assert (found.folder, found.top, found.files) == (folder, "net", (folder / "rtl/net.v", folder / "rtl/net_mid.v"))
    assert found.input == rtl.Stream(3, 2, 2, 5, True, 16) and found.input.octets == 4
    assert found.output == rtl.Stream(3, 2, 2, 3, False, 8) and found.output.octets == 2
    assert found.schedule == rtl.Schedule((4, 6, 9), 2, 5, True, 0) and not found.folded
    assert (found.latency, found.initiation_interval, found.samples, found.trace_samples) == (4, 2.5, 5, 2)
    assert [(layer.info.name, layer.module, layer.net) for layer in found.layers] == \
        [("mid", "net_mid", "mid_y"), ("end", "net_end", "end_y")]
    vectors = folder / "vectors"
    assert found.vectors == (rtl.BeatSet("edges", 2, vectors / "edges_in.hex", vectors / "edges_out.hex"),
                             rtl.BeatSet("random", 3, vectors / "random_in.hex", vectors / "random_out.hex"))
    assert parsed(tmp_path, architecture="folded").folded


def test_samples_end_as_the_schedule_repeats():
    found = rtl.Schedule((4, 6, 9), 2, 5, True, 0)
    assert [found.end(i) for i in range(8)] == [4, 6, 9, 11, 14, 16, 19, 21]  # 6, 9 again and again, 5 later
    assert all(found.knows(i) for i in range(50))
    unproved = rtl.Schedule((4, 6, 9), 2, 5, False, 0)
    assert [unproved.knows(i) for i in range(5)] == [True, True, True, False, False]


SCHEDULE = {"ends": [4, 6, 9], "period": 2, "span": 5, "proved": True, "warm_up_cycles": 0}


@pytest.mark.parametrize("change, match", [
    ({"schedule": {**SCHEDULE, "period": 4}}, "does not say when samples end"), ({"latency": 5}, "does not say"),
    ({"schedule": {**SCHEDULE, "ends": [4, 4, 9]}}, "does not say"),
    ({"schedule": {**SCHEDULE, "ends": [4, 3]}}, "does not say"),
    ({"schedule": {**SCHEDULE, "warm_up_cycles": -1}}, r"warm_up_cycles is -1, outside 0..1073741824"),
    ({"schedule": {**SCHEDULE, "span": 0}}, r"span is 0, outside 1..1099511627776"),
    ({"schedule": {**SCHEDULE, "period": (1 << 20) + 1}}, r"period is 1048577, outside 1..1048576"),
    ({"schedule": {}}, "damaged: KeyError"), ({"latency": 0}, r"latency is 0, outside 1..1099511627776"),
    ({"schedule": {**SCHEDULE, "ends": [0, 1, 2]}}, r"latency is 0, outside 1..1099511627776"),
    ({"s_axis": {"elements": 2, "beats": 3, "tdata_bits": 16}}, "3 words of 5 bits do not make 3 beats of 16 bits"),
    ({"s_axis": {"elements": 2, "beats": 2, "tdata_bits": 24}}, "do not make 2 beats of 24 bits"),
    ({"s_axis": {"elements": 0, "beats": 2, "tdata_bits": 16}}, r"elements is 0, outside 1..4194304"),
    ({"m_axis": {"elements": 2, "beats": 2, "tdata_bits": 16}}, "stream of 'y': 3 words of 3 bits do not"),
    ({"top": "a b"}, "not an identifier"),
    ({"layers": [{"name": "none", "module": "m", "net": "n"}]}, "KeyError at 'none'"),
    ({"layers": [{"name": "mid", "module": "m;", "net": "n"}]}, "'m;', which is not an identifier"),
    ({"layers": [{"name": "mid", "module": "m", "net": "n;"}]}, "'n;', which is not an identifier"),
])
def test_an_entry_of_the_rtl_that_is_wrong_says_where(tmp_path: Path, change, match):
    with refused(match):
        parsed(tmp_path, **change)


@pytest.mark.parametrize("elements, width, bits", [(1, 8, 8), (1, 17, 24), (3, 5, 16), (2, 8, 16), (62, 62, 3848)])
def test_a_beat_is_the_fewest_whole_bytes(elements, width, bits):
    entry = {"elements": elements, "beats": 1, "tdata_bits": bits}
    port = manifest.Port("x", "f", elements, width, False)
    assert rtl._stream(entry, port) == rtl.Stream(elements, elements, 1, width, False, bits)
    for other in (bits - 8, bits + 8):
        with refused("do not make 1 beats|outside"):
            rtl._stream({**entry, "tdata_bits": other}, port)


def test_a_schedule_of_one_sample_is_enough(tmp_path: Path):
    found = parsed(tmp_path, schedule={"ends": [4], "period": 1, "span": 1, "proved": "yes", "warm_up_cycles": 7})
    assert found.schedule == rtl.Schedule((4,), 1, 1, False, 7)  # only `true` is a proof


# Beats.

def test_hex_lines_are_beats_least_significant_byte_first(tmp_path: Path):
    found = parsed(tmp_path)
    read = [beats.read_hex(s.inputs, found.input, s.samples) for s in found.vectors]
    assert [r.shape for r in read] == [(2, 4), (3, 4)] and b"".join(r.tobytes() for r in read) == INPUTS
    out = [beats.read_hex(s.expected, found.output, s.samples) for s in found.vectors]
    assert b"".join(r.tobytes() for r in out) == OUTPUTS
    beats.write_hex(tmp_path / "again.hex", read[1], found.input)
    assert (tmp_path / "again.hex").read_text() == SETS["random"][1]
    beats.write_hex(tmp_path / "again.hex", out[0], found.output)
    assert (tmp_path / "again.hex").read_text() == SETS["edges"][3]


@pytest.mark.parametrize("text, match", [
    ("03e1\n000f\n0010\n000\n", "holds 19 bytes; 4 beats of 16 bits take 20"),
    ("03e1\n000f\n0010\n00033", "does not hold one beat of 16 bits a line"),
    ("03g1\n000f\n0010\n0003\n", "does not hold hexadecimal digits alone"),
    ("03\xff1\n000f\n0010\n0003\n", "does not hold hexadecimal digits alone")])
def test_a_hex_file_that_is_wrong_says_how(tmp_path: Path, text, match):
    (tmp_path / "a.hex").write_bytes(text.encode("latin-1"))
    with refused(match):
        beats.read_hex(tmp_path / "a.hex", rtl.Stream(3, 2, 2, 5, True, 16), 2)


def test_words_and_beats_are_what_was_written_by_hand(tmp_path: Path, monkeypatch):
    found = parsed(tmp_path)
    inputs, expected = (np.frombuffer(data, np.uint8).reshape(5, -1) for data in (INPUTS, OUTPUTS))
    codes, due = ([row for found in SETS.values() for row in found[at]] for at in (0, 2))
    for chunk in (beats.CHUNK, 1, 64):  # all at once, and a few at a time
        monkeypatch.setattr(beats, "CHUNK", chunk)
        assert beats.words(inputs, found.input).tolist() == codes
        assert beats.words(expected, found.output).tolist() == due
        assert beats.of_words(np.array(codes, np.int8), found.input).tobytes() == INPUTS
        assert beats.of_words(np.array(due, np.uint8), found.output).tobytes() == OUTPUTS
    assert beats.carried(found.input).tolist() == [255, 3, 31, 0] and beats.carried(found.output).tolist() == [63, 7]
    assert beats.from_words(np.array(MIDDLE), 2, 4).tolist() == [[0x83], [0x07]]
    got = expected.copy()
    got[1] ^= np.array([0b1000_0011, 0b1], np.uint8)  # a bit of it is padding
    got[4] ^= np.array([0, 0b1110], np.uint8)
    assert beats.bit_errors(got, expected, beats.carried(found.output)).tolist() == [0, 3, 0, 0, 2]


def test_words_of_a_byte_are_their_beats():
    stream = rtl.Stream(3, 2, 2, 8, True, 16)
    codes = np.array([[1, -1, 127], [-128, 0, 3]], np.int8)
    assert beats.of_words(codes, stream).tolist() == [[1, 255, 127, 0], [128, 0, 3, 0]]
    assert beats.words(beats.of_words(codes, stream), stream).tolist() == codes.tolist()


def test_of_every_set_its_share_is_taken():
    assert results.shares([20, 80], 10) == [2, 8] and results.shares([20, 80], None) == [20, 80]
    assert results.shares([1, 99], 5) == [1, 5] and results.shares([3, 3], 600) == [3, 3]


def test_the_vectors_that_are_played_are_all_or_some_of_each_set(tmp_path: Path):
    found = parsed(tmp_path)
    every, few = checks.load(found, None), checks.load(found, 3)
    assert every.names == few.names == ("edges", "random")
    assert b"".join(a.tobytes() for a in every.inputs) == INPUTS
    assert b"".join(a.tobytes() for a in every.expected) == OUTPUTS
    assert [a.tobytes() for a in few.inputs] == [INPUTS[:4], INPUTS[8:16]]
    assert [a.tobytes() for a in few.expected] == [OUTPUTS[:2], OUTPUTS[4:8]]


def compared(tmp_path: Path, got: bytes, valid: list[bool]) -> results.Check:
    found = parsed(tmp_path)
    source, expected = (np.frombuffer(data, np.uint8).reshape(5, -1) for data in (INPUTS, OUTPUTS))
    return compare.of_beats("player", "edges", found, source, np.frombuffer(got, np.uint8).reshape(5, 2), expected,
                            np.array(valid), 2.0, 50.0, 4, 2.5, ("a fault",))


def test_a_check_counts_bits_of_what_came_and_tells_the_first_word_that_differs(tmp_path: Path):
    right = compared(tmp_path, OUTPUTS, [True] * 5)
    assert right == results.Check("player", "edges", 5, 45, 0, 2.0, 50.0, 4, 2.5, None, ("a fault",))
    wrong = compared(tmp_path, bytes.fromhex("1103 0701 0000 0000 3f06"), [True, True, False, True, True])
    # Sample 1: its third word is 1, not 5; sample 2 never came; sample 4: its third word is 6, not 7.
    assert wrong == results.Check("player", "edges", 5, 36, 2, 2.0, 50.0, 4, 2.5, results.Mismatch(
        "edges", 1, 2, 1, 5, 3, bytes.fromhex("10000300"), 2), ("a fault",))
    assert wrong.ber == 2 / 36
    assert wrong.mismatch is not None and wrong.mismatch.describe() == \
        "2 samples differ; the first is sample 1 of 'edges', element 2: got 001 (1), expected 101 (5)"


def test_padding_is_a_fault_of_its_own(tmp_path: Path):
    found = compared(tmp_path, bytes.fromhex("1103 4705 ac06 0080 3f0f"), [True, True, True, False, True])
    assert (found.bit_errors, found.mismatch) == (0, None)
    told = "padding bits of tdata are not zero in 3 samples; the first is sample 1 of 'edges'"
    assert found.faults == ("a fault", told)


def test_a_negative_word_is_told_by_its_bits():
    found = results.Mismatch("s", 0, 1, -3, 2, 4, b"", 1)
    assert found.describe().endswith("got 1101 (-3), expected 0010 (2)")
    assert results.Check("b", "s", 0, 0, 0, 0.0, 0.0).ber == 0.0


# Whether the vectors agree.

def test_vectors_of_which_both_files_agree_have_no_fault(tmp_path: Path):
    found = loaded(tmp_path)
    read = rtl.parse(found)
    assert vector_files.disagreements(found, read, checks.load(read, None), native.load(found)) == \
        {"edges": (), "random": ()}
    assert vector_files.altered(found, list(found.files)) == []
    assert vector_files.blame_vectors(found, "edges", {"edges": (), "random": ()}) is None


@pytest.mark.parametrize("file, told", [
    ("random_in.npy", ("the inputs of 'random' disagree: sample 2 is one in vectors/random_in.hex and another in "
                       "vectors/random_in.npy")),
    ("random_out.npy", ("the expected outputs of 'random' disagree: sample 2 is one in vectors/random_out.hex and "
                        "another in vectors/random_out.npy"))])
def test_vectors_that_disagree_are_told_and_blamed(tmp_path: Path, file, told):
    found = loaded(tmp_path)
    path = tmp_path / "vectors" / file
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    read = rtl.parse(found)
    said = vector_files.disagreements(found, read, checks.load(read, None), native.load(found))
    assert said == {"edges": (), "random": (told,)}
    assert vector_files.altered(found, ["vectors/edges_in.npy", f"vectors/{file}"]) == [f"vectors/{file}"]
    assert vector_files.blame_vectors(found, "edges", said) is None
    for name in ("random", "all"):
        blame = vector_files.blame_vectors(found, name, said)
        assert blame == results.Diagnosis(None, "the vectors are at fault, no layer is blamed: "
                                          f"vectors/{file} differs from what was generated", {})


def test_vectors_whose_digests_are_right_but_that_disagree_are_blamed_by_that(tmp_path: Path):
    found = loaded(tmp_path)
    said = {"edges": ("one", "two"), "random": ("three",)}
    assert vector_files.blame_vectors(found, "all", said).note.endswith("blamed: one; two; three")
    assert vector_files.blame_vectors(found, "edges", said).note.endswith("blamed: one; two")
    (tmp_path / "vectors" / "edges_out.hex").unlink()
    assert vector_files.altered(found, ["vectors/edges_out.hex", "rtl/net.v"]) == ["vectors/edges_out.hex"]


# Rules.

def test_a_rule_that_is_broken_is_told_with_its_count():
    none = dict.fromkeys(rules.COUNTERS, 0)
    assert rules.broken(none, False) == []
    for name, what in (("dropped", "tvalid must stay until tready comes; it fell 3 times before"),
                       ("data_changed", "tdata must not change while tvalid waits for tready; it did 3 times"),
                       ("last_changed", "tlast must not change while tvalid waits for tready; it did 3 times"),
                       ("reset_valid", "tvalid must be low in a reset; it was high in 3 cycles")):
        assert rules.broken({**none, name: 3}, False) == [f"AXI4-Stream rule broken: {what}"]
    told = "tvalid must not wait for tready; while tready was low no output came, and when it rose one did"
    assert rules.broken(none, True) == [f"AXI4-Stream rule broken: {told}"]
    assert rules.broken({**none, "early": 2}, False) == ["2 outputs came before the input that they belong to"]
    assert len(rules.broken({**none, "early": 1, "dropped": 1, "reset_valid": 1}, True)) == 4


def test_what_a_bench_did_too_seldom_is_a_fault_of_its_own():
    assert rules.idle("resets", 3, 3) == []
    assert rules.idle("resets", 2, 3) == ["the bench did not test what it is to test: resets, 2 of 3 times"]


def test_every_counter_is_one_of_the_bench(tmp_path: Path):
    text = (Path(rules.__file__).parent / "bench.v").read_text()
    assert len(set(rules.COUNTERS)) == len(rules.COUNTERS) == 29
    for name in rules.COUNTERS:
        assert f" {name} = 0;" in text, name
    assert rules.ENOUGH == 32


# The tail.

def network(latency: int, initiation_interval: int, beats_in: int = 1, beats_out: int = 1,
            folded: bool = False) -> rtl.Rtl:
    return rtl.Rtl(Path(), "t", (), rtl.Stream(beats_in, 1, beats_in, 5, True, 8),
                   rtl.Stream(beats_out, 1, beats_out, 5, True, 8), folded,
                   rtl.Schedule((latency,), 1, initiation_interval, True, 0), (), (), 1)


@pytest.mark.parametrize("made, samples, quarter, full", [
    (network(6, 1), 4 * 64 + 70, 64, 70), (network(10, 100), 4 * 40 + 1, 40, 74), (network(10, 5000), 4 + 1, 1, 74),
    (network(136, 1, 8), 4 * 64 + 25, 64, 200), (network(136, 1, 1, 80), 4 * 50 + 3, 50, 200),
    (network(1 << 20, 1), 4 * 64 + (1 << 14), 64, (1 << 20) + 64)])
def test_the_tail_is_as_long_as_the_network_wants_it(made, samples, quarter, full):
    found = handshake.handshake_of(made)
    assert found == handshake.Handshake(samples, quarter, full)
    assert found.args == [f"+tail={samples}", f"+quarter={quarter}", f"+full={full}", "+resets=3"]


# A program's answers.

def test_the_vectors_of_a_program_are_words_of_the_ports(tmp_path: Path):
    found = loaded(tmp_path)
    every = native.load(found)
    assert [(v.name, v.inputs.tolist(), v.expected.tolist()) for v in every] == \
        [(name, s[0], s[2]) for name, s in SETS.items()]
    assert [(str(v.inputs.dtype), str(v.expected.dtype)) for v in every] == [("int8", "uint8")] * 2
    assert [len(v.inputs) for v in native.load(found, 3)] == [1, 2]
    assert [len(v.expected) for v in native.load(found, 3)] == [1, 2]
    (tmp_path / "vectors" / "random_out.npy").write_bytes(npy([[4, 5, 8], [0, 0, 0], [7, 7, 7]], "B"))
    with refused(r"holds codes from 0 to 8; ufixed<3,0> has those from 0 to 7"):
        native.load(found)
    (tmp_path / "vectors" / "edges_in.npy").write_bytes(npy([[1, -17, 15], [-16, 0, 3]], "b"))
    with refused(r"holds codes from -17 to 15; fixed<5,1> has those from -16 to 15"):
        native.load(found)


@pytest.mark.parametrize("width, signed, kind", [
    (1, False, "u1"), (8, False, "u1"), (8, True, "i1"), (9, True, "i2"), (16, False, "u2"), (17, False, "u4"),
    (32, True, "i4"), (33, True, "i8"), (62, False, "i8"), (33, False, "i8")])
def test_a_word_is_the_smallest_type_that_holds_its_format(width, signed, kind):
    assert native.word_type(manifest.Port("x", "f", 1, width, signed)) == np.dtype(f"<{kind}")


SIGNED = manifest.Port("y", "fixed<5,1>", 2, 5, True)


def answered(answer: bytes, faults: tuple[str, ...] = ()) -> results.Check:
    one = native.Vectors("edges", np.array([[1, 2], [3, 4], [5, 6]], np.int8), np.array([[1, -1], [7, 0], [-16, 15]],
                                                                                         np.int8))
    return native.compare("host", one, answer, SIGNED, 0.5, faults)


def test_a_programs_answer_is_compared_bit_by_bit():
    right = bytes([1, 255, 7, 0, 240, 15])
    assert answered(right) == results.Check("host", "edges", 3, 30, 0, 0.5, 6.0)
    wrong = answered(bytes([1, 255, 7, 1, 240, 12]), ("it ended badly",))
    assert wrong == results.Check("host", "edges", 3, 30, 3, 0.5, 6.0, mismatch=results.Mismatch(
        "edges", 1, 1, 1, 0, 5, b"\x03\x04", 2), faults=("it ended badly",))


def test_a_program_that_says_too_little_or_too_much_is_told():
    short = answered(bytes([1, 255, 7]))
    assert (short.samples, short.bits, short.bit_errors) == (3, 10, 0)
    assert short.faults == ("3 bytes came; 3 outputs take 6",)
    long = answered(bytes([1, 255, 7, 0, 240, 15, 9]))
    assert (long.bits, long.faults) == (30, ("7 bytes came; 3 outputs take 6",))


def test_words_that_are_no_codes_are_told():
    found = answered(bytes([1, 255, 16, 0, 240, 239]))  # 16 and -17
    assert found.faults == ("2 samples hold words that are not codes of fixed<5,1>; the first is sample 1 of 'edges'",)
    assert (found.bit_errors, found.bits) == (4, 30)  # 10000 for 00111: four bits; of -17 the lowest five are 15's


def test_a_program_that_ends_badly_is_told_with_its_first_words():
    import subprocess

    def told(code: int, words: bytes) -> tuple[str, ...]:
        return native.failure(subprocess.CompletedProcess([], code, b"", words))

    assert told(0, b"warning\n") == ()
    assert told(3, b"\n  bad input\nmore\n") == ("it ended with code 3: bad input",)
    assert told(-11, b"") == ("it ended with code -11: nothing was said",)
    assert told(1, b"x" * 400) == (f"it ended with code 1: {'x' * 300}",)
    assert told(1, b"\xff") == ("it ended with code 1: \ufffd",)
