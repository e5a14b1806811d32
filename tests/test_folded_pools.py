"""Folded pools whose windows share no element: what they keep, and the RTL against reference and schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from icarus import circuit, codes_of, play
from test_folded import assert_lint_clean, planned

from benchmarks.networks import SMALL, network, random_conv
from toolkit.api import generate, simulate
from toolkit.design import AvgPool, Concat, Design, FixedPoint, Layer, MaxPool, Requantise, Rounding, Tensor, Window
from toolkit.hardware import Options
from toolkit.hardware.folded.accumulators import Accumulators
from toolkit.hardware.words import Words

FOLDED = Options(arch="folded")
BYTE = FixedPoint(False, 8, 4)


def mean(name: str, source: str, window: Window, form: FixedPoint = BYTE) -> AvgPool:
    return AvgPool(name, (source,), window, *AvgPool.constant(window.positions), Requantise.to(form))


@st.composite
def pools(draw: st.DrawFn) -> tuple[MaxPool, Tensor]:
    """A pool and the image that it reads."""
    rank = draw(st.integers(1, 2))
    shape = tuple(draw(st.integers(1, 8)) for _ in range(rank))
    kernel = tuple(draw(st.integers(1, n)) for n in shape)
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    stride = tuple(draw(st.integers(1, 5)) for _ in shape)
    window = Window.of(kernel, stride, padding)
    assume(window.problem((*shape, 1)) is None)
    return MaxPool("most", ("x",), window), Tensor("x", (*shape, draw(st.integers(1, 3))), BYTE)


@settings(max_examples=60, deadline=None)
@given(pools())
def test_accumulators_take_in_what_the_windows_cover_and_end_where_they_do(drawn: tuple[MaxPool, Tensor]):
    pool, x = drawn
    sources = pool.window.sources(x.shape)
    seen = sources[sources >= 0]
    found = Accumulators.of(pool, x, Words(x.shape))
    assert (found is not None) == (len(np.unique(seen)) == len(seen))
    if found is None:
        return
    columns = found.x.windows
    owner = np.where((found.y.window[:, None] >= 0) & (found.x.window >= 0),
                     found.y.window[:, None] * columns + found.x.window, -1).reshape(-1)
    first = (found.y.first[:, None] & found.x.first).reshape(-1)
    last = found.last.reshape(-1, x.shape[-1])
    for i, positions in enumerate(sources.reshape(found.y.windows * columns, -1)):
        pixels = positions[positions >= 0]
        assert np.array_equal(np.flatnonzero(owner == i), np.sort(pixels))
        assert np.flatnonzero(first & (owner == i)).tolist() == [pixels.min()]
        assert np.flatnonzero(last[:, 0] & (owner == i)).tolist() == [pixels.max()]
    assert last.sum() == x.shape[-1] * found.y.windows * columns


@pytest.mark.parametrize("layer, bits", [
    (mean("pool", "x", Window.of((8, 8))), 64 * 14), (MaxPool("pool", ("x",), Window.of((8, 8))), 64 * 8),
    (MaxPool("pool", ("x",), Window.of((2, 2), (2, 2))), 4 * 64 * 8),
    (MaxPool("pool", ("x",), Window.of((1, 2), (1, 2))), 64 * 8),
    (MaxPool("pool", ("x",), Window.of((1, 1), (2, 2))), 0)])
def test_a_pool_keeps_an_accumulator_for_each_channel_of_an_open_window(layer: Layer, bits: int):
    plan = planned(Design("d", Tensor("x", (8, 8, 64), BYTE), (layer,)), FOLDED)
    assert plan.buffer_bits == plan.nodes[0].buffer_bits == bits
    assert plan.initiation_interval == 8 * 8 * 64


def test_a_global_mean_answers_as_soon_as_its_frame_is_there():
    plan = planned(network(BYTE, (8, 8, 16), mean("pool", "x", Window.of((8, 8)))), FOLDED)
    last, registers = 8 * 8 * 16 - 1, 2 + 3
    assert plan.latency == last + registers and plan.initiation_interval == 8 * 8 * 16


def signed_and_cut() -> Design:
    """Windows that the padding cuts on either side, with pixels between them and behind the last."""
    x = Tensor("x", (7, 9, 2), FixedPoint(True, 6, 3))
    return Design("cut", x, (
        MaxPool("cut", ("x",), Window.of((3, 2), (4, 2), ((1, 0), (0, 1)))),
        AvgPool("behind", ("cut",), Window.of((2, 2), (2, 2)), *AvgPool.constant(4, 5),
                Requantise.to(FixedPoint(True, 6, 4), Rounding.HALF_EVEN)),
        mean("all", "behind", Window.of((1, 2)), FixedPoint(True, 8, 6))))


def a_channel() -> Design:
    """One channel: the next element is of the same window."""
    return Design("one", Tensor("x", (6, 5, 1), FixedPoint(True, 5, 2)), (
        MaxPool("pairs", ("x",), Window.of((2, 2), (2, 2))), mean("all", "pairs", Window.of((3, 2)))))


def a_line() -> Design:
    return Design("line", Tensor("x", (11, 3), FixedPoint(True, 4, 1)), (
        MaxPool("three", ("x",), Window.of((3,), (3,), ((1, 2),))), mean("all", "three", Window.of((4,)))))


@pytest.mark.needs("iverilog")
@pytest.mark.parametrize("made", [signed_and_cut, a_channel, a_line])
@pytest.mark.parametrize("patient", [False, True])
def test_accumulators_are_right_in_icarus(made, patient: bool, tmp_path: Path):
    design = made()
    given = circuit(design, FOLDED)
    assert given is not None
    told = play(given, tmp_path, codes_of(design, 10, 3), pause=120, patient_sink=patient, resets=2)
    assert told.startswith("PASS"), told


@pytest.fixture(scope="module")
def pooled(tmp_path_factory) -> Path:
    """A project of pools between convolutions that stall them, and a global mean and maximum side by side."""
    third = Window.of((3, 3), padding=((1, 1), (1, 1)))
    design = Design("pooled", Tensor("x", (8, 7, 3), FixedPoint(True, 8, 4)), (
        random_conv("first", "x", (3, 4), third, form=SMALL), MaxPool("half", ("first",), Window.of((2, 2), (2, 2))),
        random_conv("second", "half", (4, 6), third, form=BYTE), mean("mean", "second", Window.of((4, 3))),
        MaxPool("most", ("second",), Window.of((4, 3))), Concat("both", ("mean", "most"), 2)))
    folder = tmp_path_factory.mktemp("pooled") / "project"
    generate(design, folder, options=Options(arch="folded", lanes=(("first", 2), ("second", 1))), vectors=60)
    return folder


def test_every_bit_and_every_clock_of_pools_with_accumulators_is_right(pooled: Path):
    found = simulate(pooled, stalls=True, axi_samples=8)
    assert found.ok, found.failures


def test_pools_with_accumulators_are_lint_clean(pooled: Path):
    assert_lint_clean(pooled)
