"""Several elements a cycle between folded layers, several taps a cycle in each lane, depthwise layers across channels.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_folded import assert_lint_clean, planned

from benchmarks.networks import SMALL, WIDE, network, random_conv, random_dense
from toolkit.api import generate, simulate
from toolkit.design import (
    Add,
    AvgPool,
    Clamp,
    Concat,
    Design,
    MaxPool,
    Requantise,
    Reshape,
    Tensor,
    Upsample,
    Window,
)
from toolkit.hardware import Options, choose
from toolkit.hardware.words import Words
from toolkit.hardware.workload import Parallel
from toolkit.utils.errors import InputError

SAME = Window.of((3, 3), padding=((1, 1), (1, 1)))


def wide() -> Design:
    """Images of 6 channels through every kind of layer that takes several elements a cycle."""
    layers = (
        random_conv("first", "x", (6, 6), SAME), random_conv("depthwise", "first", (6, 12), SAME, groups=6),
        MaxPool("pooled", ("depthwise",), Window.of((3, 3), padding=((1, 1), (1, 1)))),
        random_conv("point", "pooled", (12, 6), Window.of((1, 1))), Clamp("cut", ("point",), Requantise.to(WIDE)),
        Add("sum", ("cut", "first"), Requantise.to(WIDE)), Concat("join", ("sum", "first"), 2),
        Upsample("up", ("join",), (2, 1)),
        AvgPool("mean", ("up",), Window.of((2, 2), (2, 2)), 1, 2, Requantise.to(WIDE)),
        Reshape("flat", ("mean",), (144,)), random_dense("hidden", "flat", (144, 7)),
        random_dense("last", "hidden", (7, 5)))
    return Design("wide", Tensor("x", (4, 6, 6), SMALL), layers)


WAY = Options(arch="folded", lanes=(("first", 3), ("depthwise", 4), ("point", 6), ("hidden", 4), ("last", 5)),
              simd=(("first", 4), ("point", 5), ("hidden", 10), ("last", 3)),
              stream=(("first", 3), ("depthwise", 4), ("pooled", 6), ("point", 2), ("cut", 3), ("sum", 6), ("join", 3),
                      ("up", 4), ("mean", 6), ("hidden", 2)))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wide") / "project"
    generate(wide(), folder, options=WAY, vectors=60)
    return folder


def test_every_bit_and_every_clock_of_wide_streams_is_right(project: Path):
    found = simulate(project, stalls=True, axi_samples=8)
    assert found.ok, found.failures
    assert found.bit_errors == 0 and found.samples == 60


def test_the_rtl_of_wide_streams_is_lint_clean(project: Path):
    assert_lint_clean(project)


def test_a_flipped_weight_behind_words_that_are_not_full_names_its_layer(project: Path):
    path = next(p for p in (project / "rtl").glob("*_hidden.v"))
    text = path.read_text()
    match = re.search(r"rom\[0\] = \d+'h[0-9a-f]*?([0-9a-f]);", text)
    assert match is not None
    path.write_text(f"{text[:match.start(1)]}{int(match[1], 16) ^ 1:x}{text[match.end(1):]}")
    found = simulate(project, bench="player", allow_edited=True)
    path.write_text(text)
    assert not found.ok and found.data["diagnosis"]["layer"] == "hidden"


def test_a_lane_of_several_taps_has_no_cycle_between_two_sums():
    design = network(WIDE, 12, random_dense("one", "x", (12, 4)))
    plan = planned(design, Options(arch="folded", lanes=(("one", 4),), simd=(("one", 3),)))
    assert plan.architecture.cycles("one") == 4
    design = network(WIDE, (5, 5, 6), random_conv("one", "x", (6, 4), Window.of((3, 3))))
    plan = planned(design, Options(arch="folded", lanes=(("one", 2),), simd=(("one", 4),)))
    assert plan.architecture.cycles("one") == 9 * 2 * 9 * 2 == plan.initiation_interval


def test_a_depthwise_layer_works_on_several_channels_at_once():
    design = network(WIDE, (6, 6, 6), random_conv("one", "x", (6, 12), SAME, groups=6))
    lanes = {2: 36 * 6 * 10, 4: 36 * 3 * 9, 12: 36 * 9}
    for count, cycles in lanes.items():
        assert planned(design, Options(arch="folded", lanes=(("one", count),))).architecture.cycles("one") == cycles
    assert choose(design, Options(arch="folded", lanes=(("one", 3),))).lanes["one"] == 4  # whole channels


def test_layers_without_weights_keep_up_with_the_others():
    design = network(WIDE, (8, 8, 2), random_conv("one", "x", (2, 16), SAME),
                     MaxPool("pooled", ("one",), Window.of((2, 2), (2, 2))), Reshape("flat", ("pooled",), (256,)),
                     random_dense("last", "flat", (256, 4)))
    chosen = choose(design, Options(ii=640)).parallel
    assert chosen["one"] == Parallel(16, 2, 2) and chosen["pooled"].elements == 2
    assert planned(design, Options(ii=640)).initiation_interval <= 640


@pytest.mark.parametrize("stream, word", [
    ("first=7", "it cannot give 7 elements a cycle on 3 lanes"), ("first=2", "2 elements a cycle on 3 lanes"),
    ("last=5", "it cannot give 5 elements a cycle"), ("mean=5", "5 elements a cycle"),
    ("join=5", "5 elements a cycle"), ("none=2", "no layer matches 'none'")])
def test_a_stream_that_cannot_be_is_refused(stream: str, word: str):
    rules = Options.parse_rules([stream])
    with pytest.raises(InputError, match=word):
        choose(wide(), Options(arch="folded", lanes=WAY.lanes, stream=rules))


def test_more_taps_than_a_layer_has_are_refused():
    with pytest.raises(InputError, match="'first' asks for 55 taps a cycle, and layer 'first' has work for 54"):
        choose(wide(), Options(arch="folded", simd=(("first", 55),)))
    with pytest.raises(InputError, match="'depthwise' asks for 2 taps a cycle, and layer 'depthwise' has work for 1"):
        choose(wide(), Options(arch="folded", simd=(("depthwise", 2),)))


shapes = st.tuples(st.integers(1, 3), st.integers(1, 12))
widths = st.integers(1, 12)


@given(shapes, widths)
def test_words_hold_every_element_once(shape: tuple[int, int], elements: int):
    words = Words(shape, elements)
    assert words.filled.sum() == shape[-1] and len(words.filled) == words.row
    assert words.count == shape[0] * words.row and np.all((words.filled > 0) & (words.filled <= elements))


@given(shapes, widths, widths)
def test_a_stream_becomes_wider_or_narrower_by_whole_words(shape: tuple[int, int], before: int, after: int):
    words = Words(shape, before)
    for step in words.conversions(after):
        wide, narrow = sorted((words, step), key=lambda one: -one.elements)
        assert wide.row == 1 or wide.elements % narrow.elements == 0
        assert wide.parts(narrow).sum() == narrow.count and len(wide.parts(narrow)) == wide.count
        words = step
    assert words.elements == after
