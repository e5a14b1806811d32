"""Convolutions whose windows are words: unrolled, a pixel a cycle, or on lanes of any number of a window's taps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_folded import assert_lint_clean, planned
from test_schedule import assert_as_cycle_by_cycle

from benchmarks.networks import SMALL, WIDE, network, random_conv, random_dense
from toolkit.api import generate, simulate
from toolkit.design import Design, MaxPool, Reshape, Tensor, Window
from toolkit.hardware import Options, choose
from toolkit.hardware.rows import Rows
from toolkit.utils.errors import InputError

SAME = Window.of((5, 5), padding=((2, 2), (2, 2)))
HALF = Window.of((2, 2), (2, 2))


def lenet(size: int = 12) -> Design:
    """LeNet's layers over a smaller image."""
    half, quarter = size // 2, (size // 2 - 2) // 2
    flat = quarter * quarter * 6
    return Design("lenet", Tensor("x", (size, size, 1), SMALL), (
        random_conv("first", "x", (1, 4), SAME), MaxPool("pool1", ("first",), HALF),
        random_conv("second", "pool1", (4, 6), Window.of((3, 3))), MaxPool("pool2", ("second",), HALF),
        Reshape("flat", ("pool2",), (flat,)), random_dense("hidden", "flat", (flat, 8)),
        random_dense("last", "hidden", (8, 5)))) if half and quarter else network(SMALL, (size, size, 1))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The first convolution unrolled, the second on lanes of several taps of a window."""
    folder = tmp_path_factory.mktemp("windows") / "project"
    generate(lenet(), folder, options=Options(ii=146), vectors=60)
    return folder


def test_a_network_of_windows_is_right_in_every_bit_and_every_cycle(project: Path):
    found = simulate(project, stalls=True, axi_samples=8)
    assert found.ok, found.failures
    assert found.initiation_interval == 146 and found.samples == 60


def test_the_rtl_of_windows_is_lint_clean(project: Path):
    assert_lint_clean(project)


def test_an_unrolled_convolution_takes_a_pixel_a_cycle():
    plan = planned(lenet(), Options(ii=146))
    assert plan.architecture.parallel["first"].pe == 0 and plan.architecture.parallel["second"].pe == 6
    # All pixels, and two places that shift the last windows of a frame out: 12 * 12 + 2.
    assert plan.architecture.cycles("first") == 146 == plan.initiation_interval
    assert_as_cycle_by_cycle(plan)


def test_lanes_take_any_number_of_taps_of_a_window():
    design = network(WIDE, (6, 6, 2), random_conv("one", "x", (2, 4), Window.of((3, 3))))
    cycles = {1: 16 * 19, 2: 16 * 9, 3: 16 * 6, 5: 72, 18: 72}  # the input's 72 elements take as long
    for simd, wanted in cycles.items():
        plan = planned(design, Options(arch="folded", lanes=(("one", 4),), simd=(("one", simd),)))
        assert plan.initiation_interval == wanted
        assert_as_cycle_by_cycle(plan)


def test_a_convolution_that_gives_the_output_is_not_unrolled():
    design = network(WIDE, (6, 6, 2), random_conv("one", "x", (2, 4), Window.of((3, 3))),
                     random_conv("two", "one", (4, 2), Window.of((1, 1))))
    with pytest.raises(InputError, match=r"layer 'two' .* cannot be unrolled: .* give it 1 lane or more"):
        choose(design, Options(arch="folded", lanes=(("two", 0),)))


@st.composite
def windows(draw) -> tuple[Window, tuple[int, int]]:
    """A window that fits an image of a few pixels."""
    axes = [draw(st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)))
            for _ in range(2)]
    spans = [(kernel - 1) * apart + 1 for _, kernel, _, apart in axes]
    padding = [draw(st.tuples(st.integers(0, span - 1), st.integers(0, span - 1))) for span in spans]
    sizes, kernel, stride, apart = zip(*axes, strict=True)
    sizes = tuple(max(size, span - sum(pads)) for size, span, pads in zip(sizes, spans, padding, strict=True))
    return Window(kernel, stride, tuple(padding), apart), sizes


@settings(deadline=None)
@given(windows(), st.booleans())
def test_every_window_stands_when_all_of_its_pixels_were_read(drawn: tuple[Window, tuple[int, int]], ahead: bool):
    window, sizes = drawn
    if window.problem((*sizes, 1)):
        return
    rows = Rows.of(window, (*sizes, 1), ahead)
    wanted = window.sources((*sizes, 1)).reshape(len(rows.stands), -1).max(axis=1)
    assert np.all(np.diff(rows.stands) > 0) and rows.stands[-1] < rows.length
    assert np.all(np.maximum.accumulate(rows.taps)[rows.stands] >= wanted)


@settings(deadline=None)
@given(windows(), st.booleans())
def test_no_pixel_is_overwritten_that_a_place_still_reads(drawn: tuple[Window, tuple[int, int]], ahead: bool):
    window, sizes = drawn
    if window.problem((*sizes, 1)):
        return
    rows = Rows.of(window, (*sizes, 1), ahead)
    width = rows.x.size
    for place, (tap, limit) in enumerate(zip(rows.taps, rows.limits, strict=True)):
        assert tap < limit  # what it waits for may come
        if tap >= 0:
            column, top = tap % width, place // rows.places * rows.y.stride + rows.top
            read = [row * width + column for row in range(top, top + rows.y.span) if 0 <= row < rows.y.size]
            # A pixel lies where the one `banks` rows before it lay.
            assert all(pixel + rows.banks * width >= limit for pixel in read)
