"""Products of two tensors: the power of two nearest to a gate, ranges, capture, training, pruning, and every target."""

from __future__ import annotations

import copy
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_formats import nearest_power
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from benchmarks.networks import random_conv, random_dense, random_gated
from benchmarks.networks.strategies import formats
from toolkit.api import Options, generate, simulate
from toolkit.capture import capture
from toolkit.compress.lower import lower
from toolkit.compress.pruning.structured import prune
from toolkit.compress.quantisation.gates import GatedProduct
from toolkit.compress.quantisation.gates import nearest_power as nearest_in_torch
from toolkit.compress.quantisation.layout import hardware_order, has_images
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import Overrides, Scheme
from toolkit.compress.steps import Gate
from toolkit.design import AvgPool, Clamp, Design, FixedPoint, Interval, Multiply, Requantise, Tensor, Window
from toolkit.design.layers.multiply import GATES, MULTIPLIER, POWER, power_of_two
from toolkit.hardware import choose, plan
from toolkit.hardware.folded import plan_folded
from toolkit.hardware.memory import folded_memory, memory
from toolkit.utils.errors import InputError

WIDE = Requantise.to(FixedPoint(True, 40, 4))


class Excited(nn.Module):
    """Hard-swish, a depthwise convolution and a squeeze-and-excite block, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.less, self.more = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.point, self.head = nn.Conv2d(8, 6, 1), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.depth(F.hardswish(self.stem(x))))
        x = x * F.hardsigmoid(self.more(F.relu(self.less(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(self.point(x).mean((2, 3)))


class Mixed(nn.Module):
    """A GLU, a gate between two ways, and a product without a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.g = nn.Linear(6, 8), nn.Linear(6, 4), nn.Linear(6, 4)
        self.glu, self.out = nn.GLU(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        g = torch.sigmoid(self.g(x))
        y = g * self.glu(self.a(x)) + (1 - g) * self.b(x)
        return self.out(torch.einsum("nc,nc->nc", y, self.b(x)) + y * y)


class Mapped(nn.Module):
    """Attention over the places of a signal, one number for all channels; and one over its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.place, self.channel, self.out = (nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 1, 1),
                                                      nn.Linear(4, 4), nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.c(x))
        x = x * torch.sigmoid(self.place(x))
        return self.out((x * torch.tanh(self.channel(x.mean(2)))[:, :, None]).mean(2))


MODELS = {"excited": (Excited, (1, 8, 8)), "mixed": (Mixed, (6,)), "mapped": (Mapped, (2, 6))}


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model, shape = MODELS[name]
    return model().eval(), torch.randn(40, *shape)


@given(st.integers(-(2**20), 2**20))
@settings(max_examples=100, deadline=None)
def test_a_gate_goes_to_the_nearest_power_of_two_and_of_two_to_the_larger(code: int):
    want = int(nearest_power(Fraction(code)))
    for dtype in (np.float32, np.float64, np.int64):
        assert power_of_two(np.array([code], dtype)).tolist() == [want]
    assert nearest_in_torch(torch.tensor([code * 2.0**-7], dtype=torch.float64)).item() == want * 2.0**-7


@given(formats(4), formats(4), st.sampled_from(GATES))
@settings(max_examples=40, deadline=None)
def test_the_claimed_range_is_that_of_all_codes(value: FixedPoint, gate: FixedPoint, kind: str):
    x = Tensor("x", (1,), value)
    clamp = Clamp("g", ("x",), Requantise.to(gate))
    exact = Requantise.to(FixedPoint(True, 40, value.frac + gate.frac))
    layer = Multiply("m", ("x", "g"), kind, exact)
    tensors = [x, clamp.output([x])]
    every = [np.arange(t.format.min_code, t.format.max_code + 1) for t in tensors]
    spans = Design("d", x, (clamp, layer))
    claimed = layer.ranges(tensors, [Interval.full(t.shape, t.format) for t in tensors])
    products = np.array([a * int(layer.factors(np.array([b]))[0]) for a, b in itertools.product(*every)])
    assert claimed.accumulator is not None
    assert (claimed.accumulator.low.item(), claimed.accumulator.high.item()) == (products.min(), products.max())
    assert spans.ranges["m"].bound >= claimed.output.bound >= 0


@pytest.mark.parametrize("kind", GATES)
def test_a_square_is_never_negative(kind: str):
    x = Tensor("x", (2,), FixedPoint(True, 4, 0))
    found = Design("d", x, (Multiply("m", ("x", "x"), kind, WIDE),)).ranges["m"].accumulator
    assert found is not None and found.low.tolist() == [0, 0] and found.high.tolist() == [64, 64]


@pytest.mark.parametrize("shapes, gate, told", [
    (((2, 3), (2,)), POWER, r"shapes \(2, 3\) and \(2,\) must be equal, or 1"),
    (((4,), (3,)), POWER, "must be equal, or 1"), (((4,), (4,)), "odd", "unknown gate 'odd'"),
])
def test_what_cannot_be_multiplied_is_named(shapes, gate: str, told: str):
    tensors = [Tensor(name, shape, FixedPoint(True, 8, 4)) for name, shape in zip("ab", shapes, strict=True)]
    with pytest.raises(InputError, match=rf"'m' \(multiply\): .*{told}"):
        Multiply("m", ("a", "b"), gate, WIDE).output(tensors)


@pytest.mark.parametrize("name", MODELS)
def test_the_captured_network_computes_the_same(name: str):
    model, x = made(name)
    assert torch.allclose(capture(model, tuple(x.shape[1:]))(x), model(x), atol=1e-5)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", MODELS)
def test_the_network_in_float64_equals_the_reference_pruned_or_not(name: str, gate: str):
    model, x = made(name)
    graph = capture(model, tuple(x.shape[1:]))
    for one in (graph, prune(graph, 0.4, "l2")):
        found = quantise(one, x, Scheme.parse("log2:4").quantise, Widths(), rounding="nearest", gate=Gate(gate))
        design = lower(found, name)
        assert {layer.gate for layer in design.layers if isinstance(layer, Multiply)} == {gate}
        due = copy.deepcopy(found).double()(x.double()).detach().numpy()
        codes = design.reference(design.input.quantise(hardware_order(x.numpy(), (), has_images(found))))
        assert np.array_equal(np.ldexp(due, design.output.format.frac), codes)


def test_a_value_and_its_gate_lose_their_channels_together():
    model, x = made("excited")
    pruned = prune(capture(model, (1, 8, 8)), 0.5, "l2")
    sizes = {name: tuple(module.weight.shape[:2]) for name, module in pruned.named_modules()
             if isinstance(module, nn.Conv2d)}
    assert sizes["stem"] == (4, 1) and sizes["depth"] == (4, 1) and sizes["more"] == (4, 2)
    assert torch.isfinite(pruned(x)).all()


def test_the_gate_is_what_a_sigmoid_made_and_else_the_smaller():
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gated = torch.sigmoid(x) * x[:, :1].relu()
            return gated.mean((2, 3), keepdim=True) * gated
    graph = capture(Net(), (2, 4, 4))
    products = [[n.name for n in node.args] for node in graph.graph.nodes if "mul" in node.name]
    assert products[0] == ["relu", "sigmoid"] and products[1][0] == "mul"


def test_one_layer_can_have_a_multiplier_and_all_others_powers_of_two():
    model, x = made("mapped")
    graph = capture(model, (2, 6))
    found = quantise(graph, x, Scheme.parse("log2:4").quantise, Widths(), rounding="nearest",
                     overrides=Overrides.parse(["mul_2=gate:multiplier"]))
    assert [m.gate for m in found.modules() if isinstance(m, GatedProduct)] == [POWER, MULTIPLIER]
    with pytest.raises(InputError, match="unknown gate 'shift'"):
        Overrides.parse(["mul=gate:shift"])


def test_training_sees_the_rounded_gate_and_passes_the_gradient_through_it():
    value, gate = torch.tensor([3.0]), torch.tensor([0.6], requires_grad=True)
    made = GatedProduct(POWER)(value, gate)
    made.backward()
    assert made.item() == 1.5 and gate.grad is not None and gate.grad.item() == 3.0


@pytest.mark.parametrize("function, told", [
    (lambda x: torch.einsum("bchw,bchv->bcwv", x, x), "must sum nothing"),
])
def test_what_is_no_product_of_elements_is_refused(function, told: str):
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)
    with pytest.raises(InputError, match=told):
        capture(Net(), (2, 4, 2))


def excited(name: str, kinds: tuple[str, str]) -> Design:
    """A squeeze-and-excite block, a map over all channels, a square."""
    form = Requantise.to(FixedPoint(True, 8, 4))
    point = Window.of((1, 1))
    return Design(name, Tensor("x", (3, 4, 3), FixedPoint(True, 7, 4)), (
        AvgPool("mean", ("x",), Window.of((3, 4)), *AvgPool.constant(12), form),
        random_conv("gate", "mean", (3, 3), point),
        Multiply("excited", ("x", "gate"), kinds[0], form),
        random_conv("map", "excited", (3, 1), point),
        Multiply("mapped", ("excited", "map"), kinds[1], form),
        Multiply("squared", ("mapped", "mapped"), kinds[0], form)))


def test_every_target_computes_every_bit_with_stalls_and_on_time(tmp_path: Path):
    design = excited("both", (POWER, MULTIPLIER))
    generate(design, tmp_path / "p", targets=("verilog", "c", "hls"), options=Options(arch="folded"), vectors=150)
    found = simulate(tmp_path / "p", stalls=True, axi_samples=20)
    assert found.ok, found.failures
    told = (tmp_path / "p" / "README.md").read_text()
    assert "1 multiplier of 8 x " in told and "multiplies tensors with each other** in mapped" in told
    assert "shift in excited, squared" in told


def test_every_bit_of_unrolled_products_is_right(tmp_path: Path):
    form = Requantise.to(FixedPoint(True, 7, 4))
    layers = (random_dense("a", "x", (5, 4)), random_dense("b", "x", (5, 1)),
              Multiply("p", ("a", "b"), POWER, form), Multiply("m", ("p", "a"), MULTIPLIER, form))
    design = Design("flat", Tensor("x", (5,), FixedPoint(True, 6, 3)), layers)
    generate(design, tmp_path / "p", options=Options(2, arch="unrolled"), vectors=150)
    found = simulate(tmp_path / "p", bench="player", stalls=True)
    assert found.ok, found.failures
    assert memory(plan(design), {}).multipliers == 4


def test_the_multipliers_are_counted_and_told():
    design = excited("counted", (MULTIPLIER, MULTIPLIER))
    options = Options(arch="folded")
    found = folded_memory(plan_folded(design, choose(design, options), options), {})
    kinds = {layer.multiplier_bits for layer in found.layers if layer.multipliers}
    assert found.multipliers == 3 and found.multipliers_told.count("multiplier") == len(kinds)
    none = excited("none", (POWER, POWER))
    assert folded_memory(plan_folded(none, choose(none, options), options), {}).multipliers_told == "no multiplier"


def test_a_value_waits_for_a_gate_of_the_whole_frame():
    form = Requantise.to(FixedPoint(True, 8, 4))
    layers = (AvgPool("mean", ("x",), Window.of((6, 6)), *AvgPool.constant(36), form),
              Multiply("m", ("x", "mean"), POWER, form))
    design = Design("waits", Tensor("x", (6, 6, 3), FixedPoint(True, 7, 4)), layers)
    options = Options(arch="folded")
    made = plan_folded(design, choose(design, options), options)
    depth = {(q.layer, q.port): q.depth for q in made.fifos}
    assert 108 <= depth["m", 0] <= 2 * 108 and made.schedule.proved and made.initiation_interval == 108


@pytest.mark.parametrize("seed", range(6))
def test_random_gates_are_planned_on_schedule(seed: int):
    design, options = random_gated(seed)
    found = plan_folded(design, choose(design, options), options)
    assert found.initiation_interval >= max(found.architecture.cycles(n.name) for n in found.nodes)
    assert any(n.kind == "multiply" for n in found.nodes)
