"""Steps of a QONNX network, without a file: the design that they become equals the steps' own definitions in exact
floats, and what cannot be exact is refused by the node's name."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.capture.onnx.steps import (
    Affine,
    Bipolar,
    Clip,
    Convolve,
    Flat,
    Function,
    Join,
    Largest,
    Linear,
    Network,
    Permuted,
    Picked,
    Plus,
    Pool,
    Quant,
    Repeated,
    Reshaped,
    Step,
    Truncate,
)
from toolkit.design import Conv, FixedPoint, IntegerFormat, Log2Format, Window
from toolkit.design.tensors import Interval
from toolkit.importing import Imported, InputRange, design_of
from toolkit.importing.folding import folded
from toolkit.importing.functions import FUNCTIONS
from toolkit.importing.notes import Notes
from toolkit.importing.rounding import nearest_power
from toolkit.importing.symbolic import Sums, doubled
from toolkit.importing.weights import approximated, bias_codes, coded, lowest
from toolkit.utils.errors import InputError

INFINITY = math.inf


def rounded(x: np.ndarray, mode: str) -> np.ndarray:
    """Each of the dialect's roundings, number by number, on exact fractions."""
    def one(v: float) -> int:
        exact = Fraction(v)
        floor, half = math.floor(exact), Fraction(1, 2)
        return {"ROUND": round(exact), "HALF_EVEN": round(exact), "FLOOR": floor, "DOWN": math.trunc(exact),
                "HALF_UP": int(math.copysign(math.floor(abs(exact) + half), exact))}[mode]
    return np.array([one(v) for v in x.reshape(-1)], np.float64).reshape(x.shape)


def windows(x: np.ndarray, step: Any, fill: float) -> list[np.ndarray]:
    """x (n, channels, *spatial) to its windows, each (n, channels, *kernel), in the order of the output."""
    padded = np.pad(x, ((0, 0), (0, 0), *step.padding), constant_values=fill)
    kernel = step.weight.shape[2:] if isinstance(step, Convolve) else step.kernel
    found = []
    for place in itertools.product(*(range(n) for n in step.shape[1:])):
        at = tuple(slice(p * s, p * s + (k - 1) * d + 1, d) for p, s, k, d in
                   zip(place, step.stride, kernel, step.dilation, strict=True))
        found.append(padded[(slice(None), slice(None), *at)])
    return found


def meant(step: Step, xs: list[np.ndarray]) -> np.ndarray:
    """What a step makes of float64 samples (n, *shape), channels first."""
    x = xs[0]
    if isinstance(step, Linear):
        return x @ step.weight.T + step.bias
    if isinstance(step, Convolve):
        out, per = len(step.weight) // step.groups, step.weight.shape[1]
        columns = [np.stack([(w[:, o // out * per:(o // out + 1) * per] * step.weight[o]).reshape(len(x), -1).sum(1)
                             + step.bias[o] for o in range(len(step.weight))], 1) for w in windows(x, step, 0)]
        return np.stack(columns, 2).reshape(len(x), *step.shape)
    if isinstance(step, Affine):
        tail = (1,) * (x.ndim - 2)
        scale, offset = (v if v.ndim > 1 else v.reshape(-1, *tail) for v in (step.scale, step.offset))
        return x * scale + offset
    if isinstance(step, Clip):
        return np.minimum(np.maximum(x, step.low), step.high)
    if isinstance(step, Function):
        return np.tanh(x)
    if isinstance(step, Quant):
        clipped = np.minimum(np.maximum(x / step.scale + step.zero, step.low), step.high)
        return (rounded(clipped, step.rounding) - step.zero) * step.scale
    if isinstance(step, Bipolar):
        return np.where(x >= 0, step.scale, -step.scale)
    if isinstance(step, Truncate):
        codes = rounded(np.rint(x / step.scale) / 2.0**step.bits, step.rounding)
        if step.low is not None and step.high is not None:
            codes = np.clip(codes, step.low, step.high)
        return codes * step.output_scale
    if isinstance(step, Pool):
        parts = [w.reshape(*w.shape[:2], -1) for w in windows(x, step, 0 if step.kind == "mean" else -INFINITY)]
        found = [p.mean(2) if step.kind == "mean" else p.max(2) for p in parts]
        return np.stack(found, 2).reshape(len(x), *step.shape)
    if isinstance(step, Plus):
        return xs[0] + xs[1]
    if isinstance(step, Join):
        return np.concatenate(xs, step.axis + 1)
    if isinstance(step, Flat | Reshaped):
        return x.reshape(len(x), *step.shape)
    if isinstance(step, Permuted):
        return x.transpose(0, *(a + 1 for a in step.axes))
    if isinstance(step, Picked):
        return x.reshape(len(x), -1)[:, step.index].reshape(len(x), *step.shape)
    if isinstance(step, Repeated):
        for axis, times in enumerate(step.scale, 2):
            x = np.repeat(x, times, axis)
        return x
    assert isinstance(step, Largest)
    return x.argmax(1)[:, None].astype(np.float64)


class Builder:
    """Collects steps, each behind the one before unless it is told which values to read."""

    def __init__(self, *shape: int) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {"x": shape}
        self.steps: list[Step] = []
        self.last = "x"

    def add(self, made: type[Step], shape: tuple[int, ...] | None = None, inputs: tuple[str, ...] = (),
            **attributes: Any) -> str:
        inputs = inputs or (self.last,)
        name = f"v{len(self.steps)}"
        self.shapes[name] = shape if shape is not None else self.shapes[inputs[0]]
        self.steps.append(made(output=name, inputs=inputs, shape=self.shapes[name], label=f"{made.__name__} {name}",
                               origin=f"'{name}' ({made.__name__})", **attributes))
        self.last = name
        return name

    def quant(self, scale: float = 0.25, low: int = -8, high: int = 7, zero: int = 0, mode: str = "ROUND",
              **rest: Any) -> str:
        return self.add(Quant, scale=scale, zero=zero, low=low, high=high, rounding=mode, **rest)

    def linear(self, rows: list[list[float]], bias: list[float] | None = None, **rest: Any) -> str:
        weight = np.array(rows, np.float64)
        return self.add(Linear, (len(rows),), weight=weight,
                        bias=np.zeros(len(rows)) if bias is None else np.array(bias, np.float64), **rest)

    def model(self, requantise: bool = False) -> Any:
        shape = self.shapes["x"]
        network = Network("x", shape, tuple(range(len(shape))), tuple(self.steps), self.last)
        file = SimpleNamespace(path="net.onnx", input_type="")
        return SimpleNamespace(network=network, requantise=requantise, file=file)

    def imported(self, requantise: bool = False, **options: Any) -> Imported:
        return design_of(self.model(requantise), **options)

    def exact(self, count: int = 24, **options: Any) -> Imported:
        """Assert that the design equals the steps on samples of the input's codes, its corners among them."""
        found = self.imported(**options)
        design, shape = found.design, self.shapes["x"]
        form, entry = design.input.format, found.entry
        ends = (form.min_code, form.max_code) if entry is None else (entry.low - entry.zero, entry.high - entry.zero)
        codes = np.random.default_rng(0).integers(*ends, (count, *design.input.shape), endpoint=True)
        codes[:2] = np.array(ends).reshape(2, *(1,) * len(shape))
        values = {"x": np.moveaxis(codes * 2.0**-form.frac, -1, 1)}
        for step in self.steps:
            values[step.output] = meant(step, [values[n] for n in step.inputs])
        ours = np.moveaxis(design.reference(codes) * 2.0**-design.output.format.frac, -1, 1)
        assert ours.shape == values[self.last].shape
        assert np.array_equal(ours, values[self.last])
        return found


def whole(rng: np.random.Generator, *shape: int, most: int = 7) -> np.ndarray:
    """Weights of a few bits, an eighth apart."""
    return rng.integers(-most, most + 1, shape) / 8


def kinds(found: Imported) -> list[str]:
    return [layer.kind for layer in found.design.layers]


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_chain_of_steps_over_vectors_is_exact(data):
    draw = data.draw
    b = Builder(draw(st.integers(2, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def readable(*shape: int) -> list[str]:
        """Values that more than one step may read: all but functions that are not quantised yet, and clips at what may
        be no code (every grid here has the multiples of 2)."""
        open_ones = {step.output for step in b.steps if isinstance(step, Function) or (
            isinstance(step, Clip) and any(end % 2 for end in (step.low, step.high) if abs(end) != INFINITY))}
        return [n for n, found in b.shapes.items() if n not in {"x", *open_ones} and found == (shape or found)]

    def quant(mode: tuple[str, ...] = ("ROUND", "FLOOR")) -> None:
        zero = draw(st.sampled_from([0, 0, 2, -4]))
        b.quant(2.0 ** draw(st.integers(-4, 1)), draw(st.integers(-20, 0)), draw(st.integers(1, 20)), zero,
                draw(st.sampled_from(mode)))

    quant()
    for _ in range(draw(st.integers(1, 5))):
        size = b.shapes[b.last][0]
        kind = draw(st.sampled_from(["linear", "linear", "relu", "clip", "affine", "scale", "plus", "join", "pick",
                                     "tanh", "bipolar", "quant"]))
        if kind == "linear":
            out = draw(st.integers(1, 4))
            b.linear(whole(rng, out, size).tolist(), (rng.integers(-999, 999, out) / 512).tolist())
            if draw(st.booleans()):
                b.add(Clip, low=0.0, high=INFINITY)
                b.quant(2.0 ** draw(st.integers(-4, 1)), draw(st.integers(-20, 0)), draw(st.integers(1, 20)),
                        draw(st.sampled_from([0, 2])), draw(st.sampled_from(["ROUND", "FLOOR", "DOWN", "HALF_UP"])))
            else:
                quant()
        elif kind in ("relu", "clip"):
            apart = draw(st.sampled_from([4, 0.5]))
            ends = (0.0, INFINITY) if kind == "relu" else sorted(rng.integers(-9, 9, 2) / apart)
            b.add(Clip, low=float(ends[0]), high=float(ends[1]))
            quant()
        elif kind == "affine":
            b.add(Affine, scale=rng.choice([0.25, 0.5, 1.5, -2.0], size), offset=rng.integers(-8, 8, size) / 16)
            quant()
        elif kind == "scale":
            b.linear(whole(rng, 3, size).tolist())
            b.add(Affine, scale=np.full(3, 2.0 ** draw(st.integers(-3, 3))), offset=np.zeros(3))
            quant()
        elif kind == "plus":
            b.add(Plus, inputs=(b.last, draw(st.sampled_from(readable(size)))))
            quant()
        elif kind == "join":
            other = draw(st.sampled_from(readable()))
            b.add(Join, (size + b.shapes[other][0],), (b.last, other), axis=0)
        elif kind == "pick":
            index = rng.integers(0, size, draw(st.integers(1, 6)))
            b.add(Picked, (len(index),), index=index)
        elif kind == "tanh":
            b.add(Function, function="tanh")
            quant()
        elif kind == "bipolar":
            b.add(Bipolar, scale=2.0 ** draw(st.integers(-2, 1)))
        else:
            quant()
    b.exact()


@pytest.mark.parametrize("low, high", [(0.5, 1.5), (-2.0, -0.5), (0.25, 0.5), (-1.0, 0.0), (0.5, INFINITY),
                                       (-INFINITY, -0.5)])
def test_a_clip_beyond_all_that_comes_gives_its_bound_to_all_that_read_it(low: float, high: float):
    b = Builder(2)
    b.quant(0.25, 0, 1)
    clipped = b.add(Clip, low=low, high=high)
    b.quant(1.0, -4, 4)
    b.add(Join, (4,), (b.last, clipped), axis=0)
    b.exact()


def test_the_largest_of_nothing_but_padding_is_refused():
    def pooled(width: int) -> Builder:
        b = Builder(1, width)
        b.quant(0.25, -8, 7)
        b.add(Pool, (1, width), kind="max", kernel=(2,), stride=(1,), padding=((1, 1),), dilation=(2,))
        return b

    pooled(2).exact()
    with pytest.raises(InputError, match="nothing but padding"):
        pooled(1).imported()


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_chain_of_steps_over_images_is_exact(data):
    draw = data.draw
    rank = draw(st.integers(1, 2))
    b = Builder(draw(st.sampled_from([1, 2, 4])), *(draw(st.integers(3, 6)) for _ in range(rank)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def window(shape: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Any] | None:
        stride = tuple(draw(st.integers(1, 2)) for _ in kernel)
        dilation = tuple(draw(st.integers(1, 2)) for _ in kernel)
        padding = tuple((draw(st.integers(0, (k - 1) * d)), draw(st.integers(0, (k - 1) * d)))
                        for k, d in zip(kernel, dilation, strict=True))
        sizes = [(n + sum(p) - (k - 1) * d - 1) // s + 1 for n, p, k, d, s in
                 zip(shape[1:], padding, kernel, dilation, stride, strict=True)]
        if min(sizes) < 1 or any(n + sum(p) < (k - 1) * d + 1 for n, p, k, d in
                                 zip(shape[1:], padding, kernel, dilation, strict=True)):
            return None
        return {"stride": stride, "padding": padding, "dilation": dilation, "sizes": tuple(sizes)}

    b.quant(2.0 ** draw(st.integers(-3, 0)), -9, 8)
    for _ in range(draw(st.integers(1, 4))):
        shape = b.shapes[b.last]
        kind = draw(st.sampled_from(["conv", "conv", "max", "mean", "up", "reshape", "permute", "plus", "join"]))
        kernel = tuple(draw(st.integers(1, 3)) for _ in shape[1:])
        if kind == "conv":
            found = window(shape, kernel)
            groups = draw(st.sampled_from([g for g in (1, 2, 4) if shape[0] % g == 0]))
            out = groups * draw(st.integers(1, 2))
            if found:
                sizes = found.pop("sizes")
                b.add(Convolve, (out, *sizes), weight=whole(rng, out, shape[0] // groups, *kernel),
                      bias=rng.integers(-999, 999, out) / 512, groups=groups, **found)
                b.quant(0.5, -30, 30, 0, draw(st.sampled_from(["ROUND", "FLOOR"])))
        elif kind in ("max", "mean"):
            found = window(shape, tuple(2 for _ in kernel) if kind == "mean" else kernel)
            if found and not Window(kernel=(2,) * len(kernel) if kind == "mean" else kernel, **{
                    k: v for k, v in found.items() if k != "sizes"}).blind((*shape[1:], 1)):
                sizes = found.pop("sizes")
                b.add(Pool, (shape[0], *sizes), kind=kind, kernel=(2,) * len(kernel) if kind == "mean" else kernel,
                      **found)
                if kind == "mean":
                    b.quant(0.25, -40, 40)
        elif kind == "up" and math.prod(shape) < 120:
            scale = tuple(draw(st.integers(1, 2)) for _ in kernel)
            b.add(Repeated, (shape[0], *(n * s for n, s in zip(shape[1:], scale, strict=True))), scale=scale)
        elif kind == "reshape":
            b.add(Reshaped, (shape[-1], *shape[1:-1], shape[0]))
        elif kind == "permute":
            axes = tuple(draw(st.permutations(range(len(shape)))))
            b.add(Permuted, tuple(shape[a] for a in axes), axes=axes)
        elif kind == "plus":
            b.add(Plus, inputs=(b.last, draw(st.sampled_from([n for n, s in b.shapes.items() if s == shape]))))
            b.quant(0.5, -30, 30)
        elif kind == "join":
            axis = draw(st.integers(0, len(shape) - 1))
            b.add(Join, tuple(2 * n if i == axis else n for i, n in enumerate(shape)), (b.last, b.last), axis=axis)
    if len(b.steps) == 1:
        b.quant(0.5, -30, 30)
    if draw(st.booleans()):
        size = math.prod(b.shapes[b.last])
        b.add(Flat, (size,))
        index = rng.permutation(size)
        if draw(st.booleans()):
            b.add(Picked, (size,), index=index)
        b.linear(whole(rng, 3, size).tolist())
        if draw(st.booleans()):
            b.add(Largest, (1,))
    b.exact(count=6)


def test_a_flatten_before_weights_turns_the_weights_and_not_the_image():
    b = Builder(2, 3, 2)
    b.quant()
    b.add(Flat, (12,))
    b.linear(whole(np.random.default_rng(0), 3, 12).tolist())
    assert kinds(b.exact()) == ["reshape", "dense"]


def test_a_flatten_of_one_channel_lies_as_it_is():
    b = Builder(1, 3, 2)
    b.quant()
    b.add(Flat, (6,))
    b.add(Largest, (1,))
    assert kinds(b.exact()) == ["reshape", "argmax"]


def test_a_flatten_that_ends_the_network_is_brought_into_the_files_order():
    b = Builder(2, 3, 2)
    b.quant()
    b.add(Flat, (12,))
    assert kinds(b.exact()) == ["reshape", "reorder"]


def test_sums_that_two_read_are_a_tensor_that_keeps_every_bit():
    b = Builder(3)
    b.quant()
    sums = b.linear([[0.5, -1, 0.25], [1, 1, 1]], [0.0625, -3])
    b.quant(0.5, inputs=(sums,))
    first = b.last
    b.quant(1.0, inputs=(sums,))
    b.add(Join, (4,), (first, b.last), axis=0)
    assert kinds(b.exact()) == ["dense", "clamp", "clamp", "concat"]


def test_a_power_of_two_behind_weights_is_no_layer():
    b = Builder(3)
    b.quant()
    b.linear([[0.5, -1, 0.25]], [0.0625])
    b.add(Affine, scale=np.array([8.0]), offset=np.zeros(1))
    b.add(Clip, low=-1.0, high=1.0)
    b.quant(0.125)
    assert kinds(b.exact()) == ["dense"]


@pytest.mark.parametrize("scale, offset", [([3.0], [0.0]), ([0.5], [1.0]), ([-0.5], [0.0])])
def test_any_other_scale_behind_weights_is_a_layer_of_its_own(scale, offset):
    b = Builder(3)
    b.quant()
    b.linear([[0.5, -1, 0.25]])
    b.add(Affine, scale=np.array(scale), offset=np.array(offset))
    b.quant(0.125)
    assert kinds(b.exact()) == ["dense", "reshape", "conv", "reshape"]


def test_scales_that_differ_between_channels_are_a_layer_and_each_meets_its_own():
    b = Builder(2, 3)
    b.quant()
    b.add(Affine, scale=np.array([2.0, 0.5]), offset=np.array([0.25, -1]))
    b.quant(0.125, -99, 99)
    assert kinds(b.exact()) == ["conv"]


def test_a_scale_has_one_weight_a_feature_or_an_element():
    b = Builder(5000)
    b.quant()
    b.add(Affine, scale=np.where(np.arange(5000) % 2, 1.0, -3.0), offset=np.arange(5000) / 4)
    b.quant(0.5, -9999, 9999)
    assert [layer.weights.codes.size for layer in b.exact(4).design.layers if isinstance(layer, Conv)] == [5000]
    b = Builder(2, 3, 2)
    b.quant()
    b.add(Affine, scale=np.arange(12.0).reshape(2, 3, 2) - 5, offset=np.arange(12.0).reshape(2, 3, 2) / 8)
    b.quant(0.125, -999, 999)
    assert [layer.weights.codes.size for layer in b.exact().design.layers if isinstance(layer, Conv)] == [12]


def test_a_scale_behind_a_flatten_meets_the_elements_where_they_lie():
    b = Builder(2, 3)
    b.quant()
    b.add(Flat, (6,))
    b.add(Affine, scale=np.array([1.0, 2, 3, 4, 5, 6]), offset=np.arange(6.0))
    b.quant(0.25, -999, 999)
    b.linear([[1, -2, 0.5, 1, 1, 2]])
    assert kinds(b.exact()) == ["reshape", "reshape", "conv", "reshape", "dense"]


def normalised(b: Builder, scale: float = 2.0, offset: float = -1.0) -> Builder:
    b.quant()
    b.add(Affine, scale=np.full(b.shapes["x"][0], scale), offset=np.full(b.shapes["x"][0], offset))
    return b


def test_a_power_of_two_and_an_offset_go_into_the_weights_that_read_them_number_for_number():
    for scale, offset in ((2.0, -1.0), (0.5, 0.5), (-0.25, 3.0)):
        b = normalised(Builder(3), scale, offset)
        source = b.last
        b.linear([[0.5, -1, 0.25], [1, 3, 1]], [0.0625, -3])
        b.linear([[1, 0, 0.5], [2, 2, 0]], inputs=(source,))
        b.add(Plus, inputs=("v2", "v3"))
        assert kinds(b.exact()) == ["dense", "dense", "add"]
    b = normalised(Builder(1, 4))
    b.add(Convolve, (2, 3), weight=np.array([[[1.0, 0.5]], [[-2, 3]]]), bias=np.zeros(2), stride=(1,),
          padding=((0, 0),), dilation=(1,), groups=1)
    assert kinds(b.exact()) == ["conv"]


@pytest.mark.parametrize("scale, offset, bias, padding", [
    (3.0, 0.0, 0.0, 0), (2.0, 2.0**-60, 2.0**10, 0), (2.0, 0.1, 2.0**10, 0), (1.0, 1.0, 0.0, 1)])
def test_what_the_weights_cannot_take_exactly_stays_a_layer(scale, offset, bias, padding):
    b = normalised(Builder(1, 4), scale, offset)
    b.add(Convolve, (1, 3 + 2 * padding), weight=np.array([[[1.0, 0.5]]]), bias=np.array([bias]), stride=(1,),
          padding=((padding, padding),), dilation=(1,), groups=1)
    steps = folded(b.model().network).steps
    assert [type(s) for s in steps] == [Quant, Affine, Convolve]


def test_a_scale_that_another_layer_reads_too_stays_a_layer():
    b = normalised(Builder(2))
    source = b.last
    b.linear([[1, 1], [1, -1]])
    b.add(Plus, inputs=(b.last, source))
    assert kinds(b.exact()) == ["reshape", "conv", "reshape", "dense", "add"]


def test_what_never_is_negative_may_round_down_though_something_else_reads_it_too():
    b = Builder(1)
    b.quant()
    b.linear([[1.0]], [-1.875])
    clipped = b.add(Clip, low=0.0, high=INFINITY)
    b.quant(0.5, -20, 1, mode="DOWN")
    b.add(Plus, inputs=(b.last, clipped))
    b.exact()


def test_elements_are_picked_from_images_and_into_them():
    b = Builder(2, 3)
    b.quant()
    b.add(Picked, (3, 2), index=np.array([5, 0, 2, 2, 4, 1]))
    b.add(Picked, (4,), index=np.array([1, 5, 0, 0]))
    assert kinds(b.exact()) == ["reorder", "reorder"]


@pytest.mark.parametrize("mode", ["ROUND", "HALF_EVEN", "FLOOR", "DOWN", "HALF_UP"])
@pytest.mark.parametrize("clipped", [True, False])
def test_each_rounding_is_exact_on_every_sum_or_refused(mode, clipped):
    b = Builder(1)
    b.quant(1.0, -16, 15)
    b.linear([[0.25]])
    if clipped:
        b.add(Clip, low=0.0, high=INFINITY)
    b.quant(1.0, -9, 9, mode=mode)
    if mode in ("DOWN", "HALF_UP") and not clipped:
        with pytest.raises(InputError, match=rf"'v2' \(Quant\): rounds by {mode}"):
            b.imported()
    else:
        b.exact(count=200)


@pytest.mark.parametrize("mode", ["DOWN", "HALF_UP"])
@pytest.mark.parametrize("zero, low, fine", [(-4, -9, False), (-4, 0, True), (4, -9, True), (0, 0, True)])
def test_towards_zero_is_downwards_only_where_sum_and_zero_point_are_never_negative(mode, zero, low, fine):
    b = Builder(1)
    b.quant(1.0, -16, 15)
    b.linear([[0.25]])
    b.add(Clip, low=0.0, high=INFINITY)
    b.quant(1.0, low, 9, zero, mode)
    if fine:
        b.exact(count=200)
    else:
        with pytest.raises(InputError, match=f"rounds by {mode}"):
            b.imported()


@pytest.mark.parametrize("mode", ["DOWN", "HALF_UP", "ROUND", "FLOOR"])
def test_a_clip_between_two_codes_is_rounded_with_its_zero_point(mode):
    b = Builder(1)
    b.quant(0.25, -16, 15)
    b.linear([[1.0]])
    b.add(Clip, low=-0.5, high=1.25)
    b.quant(1.0, 0, 9, 2, mode)
    b.exact(count=200)


def test_a_rounding_that_drops_nothing_may_be_any():
    b = Builder(1)
    b.quant(1.0, -16, 15)
    b.linear([[0.5]])
    b.quant(0.5, -99, 99, mode="DOWN")
    b.exact(count=80)


@pytest.mark.parametrize("zero, fine", [(1, False), (2, True), (-1, False)])
def test_an_odd_zero_point_is_refused_where_halves_go_to_even(zero, fine):
    def network(mode: str) -> Builder:
        b = Builder(1)
        b.quant(1.0, -16, 15)
        b.linear([[0.5]])
        b.quant(1.0, -9, 9, zero, mode)
        return b

    network("FLOOR").exact(count=80)
    if fine:
        network("ROUND").exact(count=80)
    else:
        with pytest.raises(InputError, match=f"odd zero point {zero}"):
            network("ROUND").imported()


@pytest.mark.parametrize("low, high", [(-0.5, 0.75), (0.25, 0.25), (-3.0, -2.0), (5.0, 9.0), (-INFINITY, 0.5)])
def test_clips_before_a_quantiser_are_exact_wherever_they_lie(low, high):
    b = Builder(1)
    b.quant(0.25, -8, 7)
    b.linear([[0.5]])
    b.add(Clip, low=low, high=high)
    b.quant(0.25, -4, 4)
    b.exact(count=60)


def test_two_clips_are_the_second_of_the_first():
    b = Builder(1)
    b.quant(0.25, -8, 7)
    b.linear([[1.0]])
    b.add(Clip, low=-1.0, high=0.5)
    b.add(Clip, low=0.75, high=2.0)
    b.quant(0.25, -40, 40)
    b.exact(count=60)


def test_a_clip_that_no_quantiser_takes_up_must_lie_on_the_grid():
    for low, fine in ((-0.5, True), (-0.53125, False)):
        b = Builder(1)
        b.quant(0.25, -8, 7)
        b.linear([[0.5]])
        b.add(Clip, low=low, high=0.25)
        if fine:
            b.exact(count=60)
        else:
            with pytest.raises(InputError, match=r"a clip at -0\.53125"):
                b.imported()


def test_bipolar_keeps_the_sign_of_zero_and_of_clipped_sums():
    for low, high in ((-INFINITY, INFINITY), (0.0, INFINITY), (-5.0, -0.25)):
        b = Builder(1)
        b.quant(0.25, -8, 7)
        b.linear([[0.5]])
        b.add(Clip, low=low, high=high)
        b.add(Bipolar, scale=0.5)
        b.exact(count=60)


@pytest.mark.parametrize("scale, power", [(0.5, 0.5), (0.75, 0.5), (8.0, 8.0), (11.0, 8.0)])
def test_bipolar_is_a_table_of_two_values_and_a_note_says_where_its_scale_is_near(scale, power):
    b = Builder(1)
    b.quant(0.25, -8, 7)
    b.add(Bipolar, scale=scale)
    found = b.imported(requantise=True)
    *_, table = found.design.layers
    assert (table.table.tolist(), table.function) == ([-1, 1], "sign")
    assert table.format == FixedPoint(True, 2, -int(math.log2(power)))
    assert [note for note in found.notes if "approximated" in note] == ([] if scale == power else [
        f"'Bipolar v1': the scale {scale:g} is approximated by {power:g}; outputs differ from the file's"])


def test_sums_coarser_than_the_scale_of_their_truncation_lose_nothing():
    b = Builder(2)
    b.quant(1.0, -8, 7)
    b.linear([[1, 2], [-3, 1]])
    b.add(Truncate, scale=1 / 16, bits=2, output_scale=0.25, low=None, high=None, rounding="FLOOR")
    b.exact(count=60)


@pytest.mark.parametrize("bits, output, low, high", [(2, 1.0, None, None), (2, 0.25, None, None), (3, 2.0, -2, 1),
                                                     (0, 0.25, None, None)])
def test_a_truncation_drops_its_bits(bits, output, low, high):
    b = Builder(2)
    b.quant(0.5, -16, 15)
    b.linear([[0.5, 1.0], [-0.5, 2.0]])
    b.add(Truncate, scale=0.25, bits=bits, output_scale=output, low=low, high=high, rounding="FLOOR")
    b.exact(count=60)


def test_a_truncation_on_any_scale_drops_its_bits():
    b = Builder(2)
    b.quant(0.5, -16, 15)
    b.linear([[0.5, 1.0], [-0.5, 2.0]])
    b.add(Quant, scale=0.37, zero=0, low=-60, high=60, rounding="ROUND")
    b.add(Truncate, scale=0.37, bits=2, output_scale=0.37, low=None, high=None, rounding="FLOOR")
    design = b.imported()
    assert design.exact
    codes = np.random.default_rng(0).integers(-16, 16, (99, 2))
    sums = np.rint(codes * 0.5 @ np.array([[0.5, -0.5], [1.0, 2.0]]) / np.float64(np.float32(0.37)))
    assert np.array_equal(design.design.reference(codes), np.clip(sums, -60, 60) // 4)


def test_a_truncation_that_would_round_twice_is_refused():
    def network(scale: float, output: float, *, behind: bool = True) -> Builder:
        b = Builder(2)
        b.quant(0.5, -16, 15)
        if behind:
            b.linear([[0.5, 1.0]])
        b.add(Truncate, scale=scale, bits=1, output_scale=output, low=None, high=None, rounding="FLOOR")
        return b

    network(0.25, 0.5).exact()
    network(0.5, 1.0, behind=False).exact()
    for b, word in ((network(0.5, 1.0), "finer"), (network(0.5, 0.5, behind=False), "keep their")):
        with pytest.raises(InputError, match=word):
            b.imported()


def test_a_mean_that_is_no_shift_is_exact_and_with_leave_near():
    b = Builder(1, 6)
    b.quant(0.25, -8, 7)
    b.add(Pool, (1, 2), kind="mean", kernel=(3,), stride=(3,), padding=((0, 0),), dilation=(1,))
    b.quant(2.0**-8, -999, 999)
    b.exact()
    found = b.imported(requantise=True)
    assert any("1 / 3 is approximated by 43691 / 2**17" in note for note in found.notes)
    codes = np.array([[7, 7, 6, -8, -8, -7]]).reshape(1, 6, 1)
    assert np.abs(found.design.reference(codes).reshape(-1) * 2.0**-8 - np.array([20, -23]) / 12).max() <= 2.0**-8


def test_weights_that_are_no_few_bits_need_leave_and_are_then_the_nearest_of_eight():
    b = Builder(4)
    b.quant(0.25, -8, 7)
    b.linear([[0.3, -math.pi / 4, math.e / 7, 0.1], [1 / 3, 0, 0, 0]])
    b.quant(0.125, -40, 40)
    with pytest.raises(InputError, match=r"'v1' \(Linear\): its weights are not whole numbers of up to 16 bits"):
        b.imported()
    found = b.imported(requantise=True)
    assert any("approximated by int:8" in note for note in found.notes)
    values = found.design.layers[0].weights.values()  # type: ignore[attr-defined]
    assert np.abs(values - [[0.3, -math.pi / 4, math.e / 7, 0.1], [1 / 3, 0, 0, 0]]).max() <= 2.0**-8


def test_what_follows_a_function_must_quantise_it_and_what_precedes_it_be_narrow():
    b = Builder(2)
    b.quant(0.25, -8, 7)
    b.add(Function, function="tanh")
    with pytest.raises(InputError, match=r"'v1' \(Function\): no Quant follows"):
        b.imported()
    for bits, fine in ((16, True), (17, False)):
        b = Builder(1)
        b.quant(2.0**-8, -(1 << bits - 1), (1 << bits - 1) - 1)
        b.add(Function, function="tanh")
        b.quant(0.125)
        if fine:
            b.exact()
        else:
            with pytest.raises(InputError, match="reads 17 bits"):
                b.imported()


def test_a_clip_behind_a_function_is_part_of_its_table():
    b = Builder(1)
    b.quant(0.25, -8, 7)
    b.add(Function, function="tanh")
    b.add(Clip, low=-0.5, high=0.25)
    b.quant(0.125)
    assert kinds(b.exact(count=60)) == ["lookup"] or kinds(b.imported()) == ["clamp", "lookup"]


def test_tables_of_a_reordered_vector_stay_in_its_order():
    b = Builder(2, 2)
    b.quant(0.25, -8, 7)
    b.add(Flat, (4,))
    b.add(Function, function="tanh")
    b.quant(0.125)
    b.add(Bipolar, scale=1.0)
    b.linear([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    b.exact(count=60)


def test_a_scale_that_is_no_power_of_two_takes_the_power_below_and_as_many_more_codes():
    b = Builder(1)
    b.quant(0.75, -8, 7, 2)
    notes = Notes()
    step = b.steps[0]
    assert isinstance(step, Quant)
    found = nearest_power(step, notes)
    assert (found.scale, found.zero, found.low, found.high) == (0.5, 0, -15, 8)
    assert "0.75 is approximated by 0.5; codes -8..7 became -15..8" in notes[0]
    power = nearest_power(Quant(output="y", inputs=("x",), shape=(1,), label="", origin="", scale=0.5, zero=2, low=-8,
                                high=7, rounding="ROUND"), notes)
    assert (power.scale, power.zero, len(notes)) == (0.5, 2, 1)


def test_samples_become_the_codes_that_the_files_own_quantiser_makes():
    b = Builder(2, 3)
    b.quant(0.5, -3, 4, 2, "FLOOR")
    b.add(Pool, (2, 3), kind="max", kernel=(1,), stride=(1,), padding=((0, 0),), dilation=(1,))
    found = b.imported()
    real = np.random.default_rng(0).normal(size=(20, 2, 3)) * 3
    wanted = rounded(np.clip(real / 0.5 + 2, -3, 4), "FLOOR") - 2
    assert found.codes(real).tolist() == np.moveaxis(wanted, 1, -1).tolist()


def test_accuracy_counts_the_largest_output_or_the_index_that_an_argmax_gives():
    for largest in (False, True):
        b = Builder(3)
        b.quant(1.0, -8, 7)
        b.linear(np.eye(3).tolist())
        if largest:
            b.add(Largest, (1,))
        found = b.imported()
        codes = np.array([[1, 2, 3], [3, 2, 1], [0, 5, 0], [1, 0, 0]])
        assert found.accuracy(codes, np.array([2, 0, 0, 0])) == 0.75
        assert found.accuracy(codes, None) is None and found.accuracy(codes, np.zeros((4, 2))) is None


@given(st.integers(1, 24), st.floats(-50, 50), st.floats(0.01, 50))
@settings(max_examples=100, deadline=None)
def test_an_input_range_gets_the_finest_format_that_spans_it(bits, low, span):
    form = InputRange(bits, low, low + span).format()
    most = Fraction(max(-low, low + span))
    # The range is held when the ends are within a code of the format's ends, and one more fractional bit is too many.
    assert form.signed == (low < 0) and form.width == bits
    top = Fraction(2) ** (bits - form.signed - form.frac)
    assert top / 2 < most <= top


@pytest.mark.parametrize("bits, low, high", [(0, 0, 1), (25, 0, 1), (8, 1, 1), (8, 2, 1), (8, -INFINITY, 1),
                                             (8, 0, INFINITY), (8, math.nan, 1)])
def test_an_input_range_that_is_none_is_refused(bits, low, high):
    with pytest.raises(InputError, match="input activations of" if high == 1 and low == 0 else "holds nothing"):
        InputRange(bits, low, high)


def test_an_input_that_nothing_quantises_is_as_it_is_declared_and_a_note_says_so():
    b = Builder(2)
    b.linear([[0.5, 1.0]])
    found = b.exact(input=InputRange(6, 0.0, 10.0), name="given")
    assert found.design.input.format == FixedPoint(False, 6, 2) and found.design.name == "given"
    assert found.notes[-1].startswith("the file does not quantise its input: it is taken as ufixed<6,4>, 0..15.75")
    assert b.exact().design.input.format == FixedPoint(True, 8, 7)
    assert found.codes(np.array([[1.1, 99.0]])).tolist() == [[4, 63]]


def test_an_input_that_two_steps_read_is_not_its_first_quantiser():
    b = Builder(2)
    first = b.quant(0.5, inputs=("x",))
    second = b.quant(0.25, inputs=("x",))
    b.add(Join, (4,), (first, second), axis=0)
    assert b.exact().entry is None


def test_names_stay_apart_and_lose_their_blanks():
    b = Builder(1)
    b.quant()
    for _ in range(3):
        b.linear([[0.5]])
    b.steps[:] = [type(s)(**{**vars(s), "label": "same \n name" + "!" * 200}) for s in b.steps]
    names = [layer.name for layer in b.imported().design.layers]
    base = ("same name" + "!" * 200)[:120]
    assert names == [base, f"{base}_2", f"{base}_3"]


def test_a_step_that_has_no_hardware_is_named_with_the_file():
    b = Builder(1)
    b.quant()
    b.add(Step)
    with pytest.raises(InputError, match=r"^'net\.onnx': the node 'v1' \(Step\): has no hardware"):
        b.imported()


def test_a_network_that_does_nothing_but_quantise_its_input_has_no_output_of_its_own():
    b = Builder(1)
    b.quant()
    with pytest.raises(InputError, match="output is not its last operation"):
        b.imported()


@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.booleans())
@settings(max_examples=150, deadline=None)
def test_weights_are_stored_in_as_few_bits_as_they_need_and_mean_the_same(seed, bits, powers):
    rng = np.random.default_rng(seed)
    if powers:
        values = rng.choice([-1, 0, 1], (3, 4)) * 2.0 ** rng.integers(-bits, bits, (3, 4))
    else:
        values = rng.integers(-(1 << bits - 1), 1 << bits - 1, (3, 4)) * 2.0 ** rng.integers(-4, 4, (3, 1))
    found = coded(values)
    if found is None:
        assert not powers and bits > 15
        return
    assert np.array_equal(found.values(), values)
    if not powers and isinstance(found.format, IntegerFormat):
        # Fewer bits would not hold the largest odd part of some row.
        odd = [[int(v / 2.0 ** min(e for e in lowest(row[None])[0] if e < 1 << 20)) for v in row] for row in values
               if row.any()]
        need = max(max(v.bit_length() if v >= 0 else (~v).bit_length() for v in row) for row in odd) + 1
        assert found.format.bits == max(need, 2)


@pytest.mark.parametrize("row, form", [
    ([1.0, 0.0], Log2Format(2, 1)), ([4.0, -1.0], Log2Format(3, 3)), ([3.0, 1.0], IntegerFormat(3)),
    ([-4.0, 3.0], IntegerFormat(3)), ([0.0, 0.0], IntegerFormat(2)), ([2.0**25, 2.0**-25], Log2Format(7, 51)),
    ([32767.0, -32768.0], IntegerFormat(16))])
def test_the_format_of_weights_is_the_smallest_that_holds_them(row, form):
    found = coded(np.array([row]))
    assert found is not None and found.format == form and found.values().tolist() == [row]


@pytest.mark.parametrize("row", [[32769.0, 1.0], [-32769.0, 1.0], [65535.0, 1.0], [2.0**127, 1.0], [0.1, 0.2],
                                 [2.0**501, 2.0**501], [2.0**-501, 2.0**-501]])
def test_weights_of_more_than_sixteen_bits_have_no_code(row):
    assert coded(np.array([row])) is None


def test_powers_of_two_have_a_code_as_far_apart_as_an_index_of_seven_bits_tells():
    found = coded(np.array([[2.0**126, 1.0]]))
    assert found is not None and found.format == Log2Format(8, 127)


def test_the_lowest_bit_of_a_number_is_found_and_zero_has_none():
    assert lowest(np.array([1.0, 0.5, 12.0, -3.0, 0.0, 2.0**-1000])).tolist() == [0, -1, 2, 0, 1 << 20, -1000]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_approximated_weights_are_the_nearest_of_eight_bits_in_each_channel(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 5)) * 2.0 ** rng.integers(-9, 9, (3, 1))
    values[0] *= rng.integers(0, 2)
    found, share = approximated(values)
    worst = 0.0
    for row, ours in zip(values, found.values(), strict=True):
        most = max(abs(row))
        if most == 0:
            assert not ours.any()
            continue
        step = 2.0 ** (math.floor(math.log2(most)) - 6)
        nearest = [max(min(round(Fraction(v) / Fraction(step)), 127), -127) * step for v in row.tolist()]
        assert ours.tolist() == nearest
        worst = max(worst, max(abs(np.array(nearest) - row)) / most)
    assert share == pytest.approx(worst)


@given(st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=4), st.integers(0, 40), st.integers(-3, 30))
@settings(max_examples=150, deadline=None)
def test_a_bias_is_exact_or_rounds_as_the_exact_one_would(numbers, places, grid):
    values = np.array(numbers) * 2.0**-places
    codes, frac, exact = bias_codes(values, grid, sticky=False)
    kept = [Fraction(int(c)) / Fraction(2) ** frac for c in codes]
    assert exact == (kept == [Fraction(v) for v in values])
    assert all(abs(k - Fraction(v)) <= Fraction(1, 2) * Fraction(2) ** -(grid + 24) for k, v in
               zip(kept, values, strict=True))
    codes, frac, exact = bias_codes(values, grid, sticky=True)
    assert exact and frac <= max(grid + 1, 0)
    for code, value in zip(codes, values, strict=True):
        # Beside any sum on the grid, what lies below it is told from nothing: floors and comparisons are the same.
        ours, theirs, unit = Fraction(int(code)) / Fraction(2) ** frac, Fraction(value), Fraction(2) ** -grid
        assert math.floor(ours / unit) == math.floor(theirs / unit)
        assert (ours % unit == 0) == (theirs % unit == 0)


SAMPLES = np.array([-30.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 2.9, 3.1, 30.0])


@pytest.mark.parametrize("name, alpha, scalar", [
    ("leaky", 0.125, lambda x: x if x >= 0 else 0.125 * x), ("sigmoid", 0.0, lambda x: 1 / (1 + math.exp(-x))),
    ("tanh", 0.0, math.tanh), ("hardsigmoid", 0.2, lambda x: max(0.0, min(1.0, 0.2 * x + 0.5))),
    ("hardswish", 0.0, lambda x: x * max(0.0, min(1.0, x / 6 + 0.5))), ("silu", 0.0, lambda x: x / (1 + math.exp(-x))),
    ("gelu", 0.0, lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
    ("gelu_tanh", 0.0, lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))),
    ("elu", 0.5, lambda x: x if x > 0 else 0.5 * (math.exp(x) - 1)),
    ("selu", 0.0, lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1))),
    ("softplus", 0.0, lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0)),
    ("mish", 0.0, lambda x: x * math.tanh(math.log1p(math.exp(-abs(x))) + max(x, 0))), ("erf", 0.0, math.erf),
    ("square", 0.0, lambda x: x * x)])
def test_every_function_is_the_one_of_its_name(name, alpha, scalar):
    found = FUNCTIONS[name](SAMPLES, alpha)
    assert found.tolist() == pytest.approx([scalar(float(x)) for x in SAMPLES], rel=1e-12, abs=1e-12)
    assert FUNCTIONS[name](SAMPLES.reshape(2, 5), alpha).shape == (2, 5)


def test_every_function_has_a_test_of_its_own():
    assert len(FUNCTIONS) == 14


# -- scales of their own ----------------------------------------------------------------------------------------------

def uneven_sums(b: Builder, scale: list[float], offset: list[float] | None = None) -> str:
    """Sums of three quantised inputs, each channel on a scale of its own."""
    b.linear([[0.5, -1, 0.25], [0.25, 0.5, 1]][:len(scale)], inputs=("v0",))
    return b.add(Affine, scale=np.array(scale), offset=np.zeros(len(scale)) if offset is None else np.array(offset))


def test_scales_that_differ_between_channels_need_a_quantiser_behind_them():
    b = Builder(3)
    b.quant()
    uneven_sums(b, [0.3, 0.7])
    b.add(Picked, index=np.array([1, 0]))
    with pytest.raises(InputError, match=r"'v2' \(Affine\).* scales or offsets of their own and no Quant follows it"):
        b.imported()


@pytest.mark.parametrize("low, high", [(-INFINITY, 0.6), (-0.3, INFINITY), (-0.3, 0.6)])
def test_one_scale_that_nothing_quantises_is_the_outputs_unit_and_its_clips_are_in_it(low: float, high: float):
    b = Builder(3)
    b.quant()
    uneven_sums(b, [0.3])
    b.add(Clip, low=low, high=high)
    design = b.imported().design
    codes = np.random.default_rng(1).integers(-8, 8, (40, 3))
    sums = (codes * 0.25) @ np.array([0.5, -1, 0.25])
    ends = (round(end / 0.3) if abs(end) < 9 else end for end in (low, high))
    wanted = np.clip(sums, *ends)
    assert np.array_equal(design.reference(codes)[:, 0] * 2.0**-design.output.format.frac, wanted)


def test_sums_times_a_power_of_two_are_the_same_integers_and_their_clips_go_with_them():
    bound = Interval(np.array([-4]), np.array([6]))
    sums = Sums(lambda requantise, power: None, (1,), bound, 3, "'a' (Gemm)", low=-0.5, high=0.25)  # type: ignore
    twice = doubled(sums, 1)
    assert (twice.power, twice.low, twice.high, twice.accumulator) == (sums.power - 1, -1.0, 0.5, bound)


def test_the_largest_of_what_falls_with_its_sums_is_the_smallest_sum():
    b = Builder(2, 4)
    b.quant()
    b.add(Convolve, weight=np.array([[[0.5], [-1]], [[0.25], [1]]]), bias=np.zeros(2), stride=(1,), padding=((0, 0),),
          dilation=(1,), groups=1)
    b.add(Affine, scale=np.array([-0.3, 0.7]), offset=np.zeros(2))
    b.add(Pool, (2, 2), kind="max", kernel=(2,), stride=(2,), padding=((0, 0),), dilation=(1,))
    b.quant(0.11, -40, 40)
    found = b.imported()
    codes = np.random.default_rng(0).integers(-8, 8, (60, 4, 2))
    codes[0], codes[1] = -8, 7
    values = np.moveaxis(codes * 0.25, -1, 1)
    for step in b.steps:
        values = meant(step, [values])
    assert np.array_equal(np.moveaxis(found.design.reference(codes), -1, 1), np.rint(values / 0.11))


def test_a_sum_of_two_scales_is_at_most_a_step_off_and_a_note_says_so():
    b = Builder(3)
    b.quant()
    first, second = uneven_sums(b, [0.3, 0.7]), uneven_sums(b, [0.5, 0.2], [0.1, -0.3])
    b.add(Plus, inputs=(first, second))
    b.quant(0.11, -99, 99)
    found = b.imported()
    codes = np.random.default_rng(0).integers(-8, 8, (200, 3))
    values = {"x": codes * 0.25}
    for step in b.steps:
        values[step.output] = meant(step, [values[n] for n in step.inputs])
    apart = np.abs(found.design.reference(codes) - np.rint(values[b.last] / 0.11))
    assert apart.max() <= 1 and apart.mean() < 0.01
    assert any("adds what the file does not quantise" in note for note in found.notes)


def test_a_vector_that_is_only_turned_keeps_its_scale_and_the_weights_are_put_in_its_order():
    b = Builder(3)
    b.quant()
    b.linear([[0.5, -1, 0.25], [0.25, 0.5, 1], [1, 0.5, -0.5]])
    b.quant(0.29, -20, 20)
    b.add(Picked, index=np.array([2, 0, 1]))
    b.linear([[0.5, 0.25, -1]])
    b.quant(0.0703, -99, 99)
    found = b.imported()
    assert "reorder" not in kinds(found) and not any("rounded" in note for note in found.notes)
    codes = np.random.default_rng(0).integers(-8, 8, (200, 3))
    values = codes * 0.25
    for step in b.steps:
        values = meant(step, [values])
    assert np.array_equal(found.design.reference(codes)[:, 0], np.rint(values[:, 0] / 0.0703))
