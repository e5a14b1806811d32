"""Measures, choices and limits against counts by hand."""

from __future__ import annotations

import importlib
import math
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Data
from toolkit.compress.measure.measures import Measure
from toolkit.compress.measure.outcomes import accuracy, error, output_ber, right, task_ber
from toolkit.design import FixedPoint
from toolkit.report import choices
from toolkit.search.search import Limits

searching = importlib.import_module("toolkit.search.search")  # the package's own `search` is a function


def pattern(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


@given(st.lists(st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32)), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_the_output_ber_counts_each_bit_that_differs_from_the_original(pairs):
    ours, theirs = (np.array(side)[:, None] for side in zip(*pairs, strict=True))
    wrong = sum((pattern(a) ^ pattern(b)).bit_count() for a, b in pairs)
    assert output_ber(ours, theirs, None) == wrong / (32 * len(pairs))
    form = FixedPoint(True, 5, 1)
    codes = [tuple(max(min(math.floor(v * 2 + 0.5), 15), -16) & 31 for v in pair) for pair in pairs]
    assert output_ber(ours, theirs, form) == sum((a ^ b).bit_count() for a, b in codes) / (5 * len(pairs))


def linear(rows: list[list[float]]) -> torch.fx.GraphModule:
    layer = nn.Linear(len(rows[0]), len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        layer.bias.zero_()
    return capture(nn.Sequential(layer).eval(), (len(rows[0]),))


def test_a_network_that_swaps_its_outputs_disagrees_wherever_they_differ():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75], [0.5, 0.0], [0.0, 2.0]], np.float32)
    y = np.array([0, 1, 1, 1, 0])
    data = Data.of(x, y, x, y, x_val=x, y_val=y)
    measure = Measure(linear([[1, 0], [0, 1]]), data)
    same, swapped, half = (measure.step("n", linear(rows)) for rows in
                           ([[1.0, 0], [0, 1]], [[0.0, 1], [1, 0]], [[4.0, 0], [0, 1]]))
    assert (same.disagreement, same.accuracy, same.output_ber) == (0.0, 0.6, 0.0)
    assert (swapped.disagreement, swapped.accuracy) == (1.0, 0.4) and swapped.output_ber
    assert half.disagreement == 0.2  # the third sample alone


def test_bits_classes_and_values_are_each_judged_by_their_own_rule():
    outputs = np.array([[0.5, -1.0], [-0.5, 2.0], [1.5, 1.0], [0.0, 0.25]])
    bits = np.array([[1, 0], [1, 1], [1, 0], [0, 1]])
    assert accuracy(outputs, bits, "bits") == 6 / 8 and task_ber(outputs, bits, "bits") == 2 / 8
    classes = np.array([0, 1, 1, 1])
    assert right(outputs, classes, "classes").tolist() == [True, True, False, True]
    assert accuracy(outputs, classes, "classes") == 3 / 4 and task_ber(outputs, classes, "classes") is None
    values = outputs + np.array([[3.0, 0], [0, 4], [0, 0], [0, 0]])
    assert error(outputs, values, "values") == pytest.approx(math.sqrt((9 + 16) / 8))
    assert accuracy(outputs, values, "values") is None and error(outputs, classes, "classes") is None


def row(name: str, size: int, quality: float, drop: float) -> SimpleNamespace:
    step = SimpleNamespace(size=size, quality=quality, drop=SimpleNamespace(validation=drop, test=drop))
    return SimpleNamespace(name=name, step=step)


def test_the_best_row_is_the_smallest_of_those_that_lose_little():
    rows = [row("large", 900, 0.99, 0.0), row("small", 100, 0.98, 1.0), row("at the edge", 90, 0.97, 2.0),
            row("tiny", 10, 0.5, 49.0)]
    assert choices.best(rows).name == "at the edge"
    assert choices.best(rows[:2]).name == "small" and choices.best([]) is None
    assert choices.best([row("a", 10, 0, 9.0), row("b", 20, 0, 5.0), row("c", 15, 0, 5.0)]).name == "c"


def test_the_pareto_rows_are_those_that_no_other_equals_or_beats():
    rows = [row("a", 10, 0.5, 0), row("b", 20, 0.9, 0), row("c", 20, 0.8, 0), row("d", 30, 0.9, 0),
            row("e", 40, 1.0, 0)]
    assert [r.name for r in choices.pareto(SimpleNamespace(good=rows))] == ["a", "b", "e"]
    assert [r.name for r in choices.beaten(SimpleNamespace(good=[*rows, row("f", 50, 0.7, 0)]))] == ["f"]


@pytest.mark.parametrize("limits, drop, size, passed", [
    (Limits(), 99, 10**9, ()), (Limits(1.0), 3.0, 0, (2.0,)), (Limits(1.0), -3.0, 0, (-4.0,)),
    (Limits(None, 2.0), 0, 3072, (1.0,)), (Limits(1.0, 2.0), 1.0, 2048, (0.0, 0.0))])
def test_a_limit_says_how_far_it_is_passed(limits, drop, size, passed):
    assert limits.violated(drop, size) == passed
    assert limits.kept(drop, size) == all(p <= 0 for p in passed)


def test_the_sampler_is_told_how_far_each_limit_is_passed(monkeypatch):
    told: dict[str, float] = {}
    trial = SimpleNamespace(set_user_attr=lambda key, value: None, set_constraint=told.__setitem__)
    step = SimpleNamespace(quality=0.9, size=4096, epochs=3, drop=SimpleNamespace(validation=5.0))
    chosen = SimpleNamespace(scheme="", settings=lambda s: s, to_json=dict)
    monkeypatch.setattr(searching, "choose", lambda *_: chosen)
    monkeypatch.setattr(searching, "compress", lambda *_, **__: SimpleNamespace(steps=[step], design=object()))
    monkeypatch.setattr(searching, "adder_bits", lambda design: 77)
    baselines = SimpleNamespace(original=None, data=None)
    found = searching._objective(trial, baselines, None, ("bytes", "accuracy", "adder_bits"), Limits(2.0, 1.0))
    assert found == (4096.0, 0.9, 77.0)
    assert told == {"0": 3.0, "1": 3.0}
