"""Packed beats and hex lines, against Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.design import FixedPoint, Tensor
from toolkit.emit import packing
from toolkit.emit.packing import beat_bits, hex_text, packed, small_type


def tensor(width: int, size: int, signed: bool = True) -> Tensor:
    return Tensor("t", (size,), FixedPoint(signed, width, 0))


@st.composite
def beats(draw) -> tuple[Tensor, list[list[int]]]:
    form = FixedPoint(draw(st.booleans()), draw(st.integers(1, 62)), 0)
    size = draw(st.integers(1, 5))
    row = st.lists(st.integers(form.min_code, form.max_code), min_size=size, max_size=size)
    return Tensor("t", (size,), form), draw(st.lists(row, min_size=1, max_size=4))


def as_integer(row: list[int], width: int) -> int:
    """Element i at bits [i*W +: W]."""
    return sum((code % (1 << width)) << (i * width) for i, code in enumerate(row))


@given(beats())
@settings(max_examples=200, deadline=None)
def test_a_beat_is_one_integer_of_its_elements(case):
    t, rows = case
    found = [int.from_bytes(octets.tobytes(), "little") for octets in packed(np.array(rows), t)]
    assert found == [as_integer(row, t.format.width) for row in rows]


@given(beats())
@settings(max_examples=200, deadline=None)
def test_a_hex_line_is_the_same_integer_in_all_its_digits(case):
    t, rows = case
    expected = [f"{as_integer(row, t.format.width):0{beat_bits(t) // 4}x}\n" for row in rows]
    assert hex_text(np.array(rows), t).decode("ascii") == "".join(expected)


@pytest.mark.parametrize("width, size, bits", [(1, 1, 8), (8, 1, 8), (3, 3, 16), (5, 8, 40), (62, 2, 128), (7, 8, 56)])
def test_a_beat_is_whole_bytes(width, size, bits):
    assert beat_bits(tensor(width, size)) == bits


def test_the_bits_above_the_last_element_are_zero():
    assert hex_text(np.array([[-1, -1, -1]]), tensor(3, 3)) == b"01ff\n"


def test_minus_one_beside_a_two_looks_like_this():
    assert hex_text(np.array([[-1, 2]]), tensor(5, 2)) == b"005f\n"


def test_an_image_goes_row_by_row():
    t = Tensor("t", (2, 2), FixedPoint(False, 8, 0))
    assert hex_text(np.array([[[1, 2], [3, 4]]]), t) == b"04030201\n"


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_codes_of_any_integer_type_pack_the_same(dtype):
    assert hex_text(np.array([[-3, 3]], dtype), tensor(8, 2)) == b"03fd\n"


def test_more_beats_than_one_chunk_pack_the_same(monkeypatch):
    codes = np.random.default_rng(0).integers(-16, 16, (50, 3))
    whole = hex_text(codes, tensor(5, 3))
    monkeypatch.setattr(packing, "CHUNK_BITS", 40)
    assert hex_text(codes, tensor(5, 3)) == whole


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 17, 32, 33, 62])
def test_the_small_type_is_the_smallest_that_holds_both_ends(width, signed):
    form = FixedPoint(signed, width, 0)
    kinds = [f"{'i' if signed else 'u'}{size}" for size in (1, 2, 4)] + ["i8"]
    fits = [k for k in kinds if np.iinfo(k).min <= form.min_code and form.max_code <= np.iinfo(k).max]
    assert small_type(form) == np.dtype(fits[0])
