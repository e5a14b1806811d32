"""Packed beats, test vectors and output folders."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import designs, formats

from toolkit.design import Design, Tensor
from toolkit.emit import vectors
from toolkit.emit.packing import beat_bits, hex_text, packed, small_type
from toolkit.errors import InputError
from toolkit.folder import MARKER, output_folder


@given(formats(40), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_element_i_lies_at_bit_i_times_width(form, size, seed):
    tensor = Tensor("t", (size,), form)
    codes = np.random.default_rng(seed).integers(form.min_code, form.max_code, (5, size), endpoint=True)
    mask = (1 << form.width) - 1
    for row, octets, line in zip(codes, packed(codes, tensor), hex_text(codes, tensor).splitlines(), strict=True):
        expected = sum((int(c) & mask) << (i * form.width) for i, c in enumerate(row))
        assert int.from_bytes(octets.tobytes(), "little") == expected == int(line, 16)
        assert len(line) * 4 == beat_bits(tensor)


@given(formats(62))
def test_the_small_type_holds_both_ends(form):
    kind = np.iinfo(small_type(form))
    assert kind.min <= form.min_code and form.max_code <= kind.max


@given(designs(widest=4, deepest=2), st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_vectors_come_with_what_the_reference_makes_of_them(design: Design, seed):
    made = vectors.make(design, None, 40, seed)
    assert sum(len(s.inputs) for s in made.sets) == 40
    form = design.input.format
    for one in made.sets:
        assert one.inputs.min() >= form.min_code and one.inputs.max() <= form.max_code
        assert (one.expected == design.reference(one.inputs)).all()


def test_the_same_seed_gives_the_same_vectors():
    from test_verilog import tiny

    design = tiny([[3, -2], [5, 1]], [0, 1])
    first, second, other = (vectors.make(design, None, 100, seed) for seed in (1, 1, 2))
    assert all((a.inputs == b.inputs).all() for a, b in zip(first.sets, second.sets, strict=True))
    assert any((a.inputs != b.inputs).any() for a, b in zip(first.sets, other.sets, strict=True))


def test_boundary_vectors_reach_both_ends_of_every_neuron():
    from benchmarks.networks import mlp

    design = mlp((6, 5, 4))
    trace = design.trace(vectors.boundary(design, 400, np.random.default_rng(0)))
    claimed = design.ranges["fc1"].output
    assert (trace["fc1"].min(axis=0) == claimed.low).all() and (trace["fc1"].max(axis=0) == claimed.high).all()


def test_too_few_vectors_are_refused():
    from test_verilog import tiny

    with pytest.raises(InputError, match="too few"):
        vectors.make(tiny([[1]], [0]), None, 3, 0)


def test_a_folder_appears_whole(tmp_path: Path):
    out = tmp_path / "a" / "out"
    with output_folder(out) as fresh:
        (fresh / "file").write_text("x")
        assert not out.exists()
    assert (out / "file").read_text() == "x" and (out / MARKER).is_file()


def test_nothing_is_left_when_writing_fails(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "out") as fresh:
        (fresh / "file").write_text("x")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_the_old_folder(tmp_path: Path):
    out = tmp_path / "out"
    with output_folder(out) as fresh:
        (fresh / "file").write_text("old")
    with pytest.raises(InputError, match="No space left"), output_folder(out):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (out / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_our_own_folder_is_replaced(tmp_path: Path):
    for text in ("old", "new"):
        with output_folder(tmp_path / "out") as fresh:
            (fresh / text).write_text(text)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [MARKER, "new"]


def test_a_foreign_folder_is_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not written by shiftwright"), output_folder(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_put_into_our_folder_is_not_lost(tmp_path: Path):
    out = tmp_path / "out"
    with output_folder(out) as fresh:
        (fresh / "ours").write_text("x")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"), output_folder(out):
        pass
    assert (out / "notes.txt").read_text() == "mine"
