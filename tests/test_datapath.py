"""Datapaths: every signal evaluated in Python integers fits its width and gives the reference's codes on time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import corners, dense
from benchmarks.networks.strategies import designs
from toolkit.design import Add, Clamp, Design, FixedPoint, Overflow, Reorder, Requantise, Tensor
from toolkit.design.layers.multiply import power_of_two
from toolkit.hardware import Options, Plan, plan
from toolkit.hardware.datapath import (
    Barrel,
    Constant,
    Datapath,
    Entry,
    Greater,
    Offset,
    Place,
    Plus,
    Product,
    Quantise,
    Read,
    RoundEven,
    Select,
    Sum,
    Turned,
    Widen,
)
from toolkit.utils.errors import InputError


def signed(word: int, width: int) -> int:
    return word - (1 << width) if word >> (width - 1) else word


def two(value: int, width: int) -> int:
    """Two's complement, and the proof that it is one."""
    assert -(1 << (width - 1)) <= value < 1 << (width - 1)
    return value % (1 << width)


def evaluate(path: Datapath, ports: list[list[int]]) -> list[int]:
    """The words of the outputs, each signal by the words of its operands: what hardware does, cycles aside."""
    words: list[int] = []
    for s in path.signals:
        op, xs = s.op, [words[o] for o in s.operands]
        widths = [path.signals[o].width for o in s.operands]
        if isinstance(op, Read):
            word = (ports[op.port][op.element] % (1 << s.width)) ^ (op.invert << (s.width - 1))
        elif isinstance(op, Sum):
            second = (1 << widths[1]) - xs[1] if op.subtract else xs[1]
            word = (xs[0] << op.shifts[0]) + (second << op.shifts[1])
            # The products of slopes are two's complement, whose carry is dropped; words of shared sums have none.
            word %= 1 << s.width if s.name[0] in "pn" else 1 << 200
        elif isinstance(op, Offset):
            word = two(op.constant + (xs[0] << op.shift) * (-1 if op.negative else 1), s.width)
        elif isinstance(op, RoundEven):
            acc = signed(xs[0], widths[0])
            word = two(acc + ((acc >> op.shift) & 1) + (1 << (op.shift - 1)) - 1, s.width)
        elif isinstance(op, Quantise):
            acc = signed(xs[0], widths[0])
            assert op.low <= acc <= op.high
            code, r = acc >> op.shift, op.requantise
            word = (code if r.overflow is Overflow.WRAP else min(max(code, r.low), r.high)) % (1 << s.width)
        elif isinstance(op, Widen):
            word = ((signed(xs[0], widths[0]) if op.signed else xs[0]) << op.shift) % (1 << s.width)
        elif isinstance(op, Greater):
            a, b = (signed(x, w) if op.signed else x for x, w in zip(xs, widths, strict=True))
            word = int(b > a)
        elif isinstance(op, Select):
            word = xs[2] if xs[0] else xs[1]
        elif isinstance(op, Turned):
            value = signed(xs[0], widths[0]) if op.signed else xs[0]
            value = -value if xs[1] >> (widths[1] - 1) else value
            # The magnitude of a gate is a plain word, all else two's complement.
            word = value if s.operands[0] == s.operands[1] else two(value, s.width)
        elif isinstance(op, Place):
            nearest = int(power_of_two(np.array([xs[0]]))[0])
            word = (1 << (s.width - 1)) | (nearest.bit_length() - 1) if nearest else 0
            assert nearest.bit_length() - 1 <= op.top < 1 << (s.width - 1)
        elif isinstance(op, Barrel):
            place = xs[1] % (1 << (widths[1] - 1))
            word = two(signed(xs[0], widths[0]) << place, s.width) if xs[1] >> (widths[1] - 1) else 0
        elif isinstance(op, Product):
            a, b = (signed(x, w) if one else x for x, w, one in zip(xs, widths, op.signed, strict=True))
            word = two(a * b, s.width)
        elif isinstance(op, Plus):
            word = two(signed(xs[0], widths[0]) + op.constant, s.width)
        elif isinstance(op, Entry):
            word = op.table[xs[0]] % (1 << s.width)
        else:
            assert isinstance(op, Constant)
            word = op.value % (1 << s.width)
        assert 0 <= word < 1 << s.width, s
        words.append(word)
    return [words[o] for o in path.outputs]


@given(designs(widest=5, deepest=3), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_signals_of_every_layer_give_the_references_codes(design, depth):
    trace = {n: v.reshape(len(v), -1).tolist() for n, v in design.trace(corners(design, 12)).items()}
    for p in plan(design, Options(depth, 1)).layers:
        width = design.tensors[p.layer.name].format.width
        for i, expected in enumerate(trace[p.layer.name]):
            found = evaluate(p.datapath, [trace[n][i] for n in p.layer.inputs])
            assert found == [code % (1 << width) for code in expected], p.layer.name


@given(designs(widest=5, deepest=3), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_signals_read_only_earlier_signals_of_no_later_stage(design, depth):
    for p in plan(design, Options(depth, 1)).layers:
        for i, s in enumerate(p.datapath.signals):
            assert all(o < i and p.datapath.stage(o) <= p.datapath.stage(i) for o in s.operands)


@given(designs(widest=5, deepest=3), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_register_stands_at_every_boundary_between_a_signal_and_its_readers(design, depth):
    for p in plan(design, Options(depth, 1)).layers:
        path = p.datapath
        needed = {(o, k) for i, s in enumerate(path.signals) for o in s.operands
                  for k in range(path.stage(o) + 1, path.stage(i) + 1)}
        needed |= {(o, k) for o in path.outputs for k in range(path.stage(o) + 1, path.stages + 1)}
        needed = {(o, k) for o, k in needed if not isinstance(path.signals[o].op, Constant)}
        assert sorted(path.registers) == sorted(needed)
        assert path.register_bits == sum(path.signals[o].width for o, _ in needed)


def longest(made: Plan, name: str) -> int:
    """Stages on the longest way from the input to a tensor."""
    for p in made.layers:
        if p.layer.name == name:
            return p.datapath.stages + max(longest(made, n) for n in p.layer.inputs)
    return 0


@given(designs(widest=4, deepest=4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_latency_is_the_longest_path_of_stages(design, depth):
    made = plan(design, Options(depth, 1))
    assert made.latency == longest(made, design.layers[-1].name)


def residual() -> Design:
    """x + fc2(fc1(x))."""
    layers = (dense([[3, 5], [7, -3]], name="fc1"), dense([[5, 1], [1, 9]], name="fc2", source="fc1"),
              Add("sum", ("x", "fc2"), Requantise.to(FixedPoint(True, 8, 0))))
    return Design("res", Tensor("x", (2,), FixedPoint(True, 6, 0)), layers)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_short_way_of_a_residual_is_held_until_the_long_one_is_there(depth):
    made = plan(residual(), Options(depth, 1))
    first, second, last = made.layers
    long = first.datapath.stages + second.datapath.stages
    assert last.delays == (long, 0)
    assert made.holds == {"x": long}
    assert made.hold_bits == 2 * 6 * long


def test_a_chain_holds_nothing():
    x = Tensor("x", (2,), FixedPoint(True, 6, 0))
    made = plan(Design("chain", x, (dense([[3, 5], [7, 1]], name="a"), dense([[5, 1]], name="b", source="a"))))
    assert made.holds == {} and made.hold_bits == 0


def test_more_adders_a_stage_never_take_more_cycles():
    latencies = [plan(residual(), Options(depth, 1)).latency for depth in range(1, 9)]
    assert latencies == sorted(latencies, reverse=True)


def test_a_clamp_that_rounds_nothing_away_is_one_stage():
    design = Design("c", Tensor("x", (3,), FixedPoint(True, 8, 0)),
                    (Clamp("relu", ("x",), Requantise(FixedPoint(True, 8, 0), 0, 127)),))
    assert plan(design).latency == 1


def test_a_reorder_is_wires_that_cost_nothing():
    layers = (Reorder("pick", ("x",), np.array([3, 0, 0], np.int64), (3,)),
              Clamp("relu", ("pick",), Requantise(FixedPoint(True, 8, 0), 0, 127)))
    made = plan(Design("r", Tensor("x", (4,), FixedPoint(True, 8, 0)), layers))
    path = made.layers[0].datapath
    assert evaluate(path, [[5, 6, 7, 250]]) == [250, 5, 5]
    assert (path.stages, path.registers, made.layers[0].adders, made.latency) == (0, (), 0, 1)


@pytest.mark.parametrize("options", [(0, 8), (65, 8), (4, 0), (4, 1001)])
def test_options_outside_their_bounds_are_refused(options):
    with pytest.raises(InputError, match="outside"):
        Options(*options)
