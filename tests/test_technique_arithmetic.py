"""What each technique of compression computes, against its definition written out: one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Data
from toolkit.compress.measure.storage import smallest
from toolkit.compress.pruning.structured import prune
from toolkit.compress.quantisation import grids
from toolkit.compress.quantisation.calibration import fitted
from toolkit.compress.quantisation.gptq import _columns, _descent, _Grid, gptq
from toolkit.compress.quantisation.layers import Quantised
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.steps import Quantise
from toolkit.compress.training.distillation import distilling
from toolkit.compress.training.loop import train, whole_loss
from toolkit.design import FixedPoint, Log2Format


def test_the_smallest_storage_is_the_smallest_of_three_counted_by_hand():
    def sizes(zeros: int) -> tuple[str, int]:
        value = np.ones((10, 10), np.float32)
        value.reshape(-1)[:zeros] = 0
        name, stored = smallest({"w": value})
        return name, len(stored)

    assert sizes(0) == ("dense float32", 400)
    assert sizes(50) == ("bitmap", 13 + 4 * 50)  # 100 bits, and the 50
    assert sizes(99) == ("CSR", 10 + 1 + 4)  # ten row ends of a byte, one column, one value


@given(st.integers(0, 2**16), st.sampled_from([1.0, 2.0, 5.0]), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=20, deadline=None)
def test_distillation_is_hintons_loss(seed, temperature, mix):
    """mix * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - mix) * cross-entropy, means over samples."""
    rng = np.random.default_rng(seed)
    student, teacher, labels = rng.normal(size=(6, 3)) * 3, rng.normal(size=(6, 3)) * 3, rng.integers(0, 3, 6)

    def shares(row: np.ndarray, t: float) -> list[float]:
        powers = [math.exp(v / t) for v in row]
        return [p / sum(powers) for p in powers]

    soft = hard = 0.0
    for s, t, label in zip(student, teacher, labels, strict=True):
        soft += sum(p * math.log(p / q) for p, q in zip(shares(t, temperature), shares(s, temperature), strict=True))
        hard -= math.log(shares(s, 1)[label])
    found = distilling(temperature, mix)(*(torch.from_numpy(a) for a in (student, labels, teacher)))
    assert float(found) == pytest.approx((mix * temperature**2 * soft + (1 - mix) * hard) / 6)


def test_training_that_only_makes_it_worse_leaves_the_network_as_good_as_it_was():
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(4, 2))
    data = Data.of(x, y, x, y)
    train(model, data, epochs=30, lr=0.1, seed=0, what="good")
    inputs, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    before = whole_loss(model, inputs, labels, inputs)
    train(model, data, epochs=2, lr=1000.0, seed=0, what="bad")
    assert whole_loss(model, inputs, labels, inputs) <= before


@pytest.mark.parametrize("after", [True, False])
def test_a_folded_norm_keeps_its_epsilon(after):
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(3, eps=2.0)
    with torch.no_grad():
        norm.running_var.copy_(torch.tensor([0.01, 1.0, 4.0]))
        norm.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
        norm.weight.copy_(torch.tensor([1.0, 3.0, -2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    model = (nn.Sequential(nn.Linear(3, 3), norm) if after else nn.Sequential(norm, nn.Linear(3, 3))).eval()
    x = torch.randn(20, 3)
    with torch.no_grad():
        assert torch.allclose(capture(model, (3,))(x), model(x), atol=1e-5)


def spd(size: int, seed: int) -> torch.Tensor:
    mixing = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mixing @ mixing.T / size + 0.1 * torch.eye(size, dtype=torch.float64)


def gridded(weight: torch.Tensor, form: Log2Format) -> _Grid:
    return _Grid(form, "linear", grids.fit(weight, form), weight != 0)


@pytest.mark.parametrize("size", [5, 40, 70])
def test_gptq_makes_up_for_each_rounding_as_the_inverse_of_what_is_left_says(size):
    """Frantar et al.: round the next column, spread its error by the inverse Hessian of the columns not yet rounded."""
    hessian, form = spd(size, size), Log2Format.of(4)
    weight = torch.randn(3, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grid = gridded(weight, form)
    rest, wanted = weight.clone(), torch.zeros_like(weight)
    left = sorted(range(size), key=lambda i: -float(hessian[i, i]))
    while left:
        inverse = torch.linalg.inv(hessian[left][:, left])
        now = grid.column(rest[:, left[0]], left[0])
        wanted[:, left[0]] = now
        rest[:, left] -= ((rest[:, left[0]] - now) / inverse[0, 0])[:, None] * inverse[0]
        left = left[1:]
    found = _columns(weight, hessian, grid)
    assert (found != wanted).sum() <= size // 40  # a tie may fall to either side


@pytest.mark.parametrize("size", [4, 40])
def test_after_the_descent_no_weight_alone_can_be_rounded_better(size):
    hessian, form = spd(size, size), Log2Format.of(3)
    weight = torch.randn(4, size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    grid = gridded(weight, form)
    start = grids.project(weight, grid.exponents, form, "linear")
    found = _descent(weight, start, hessian, grid)

    def cost(row: int, values: torch.Tensor) -> float:
        off = weight[row] - values
        return float(off @ hessian @ off)

    for row in range(4):
        best = cost(row, found[row])
        assert best <= cost(row, start[row]) + 1e-12
        for j in range(size):
            for k in range(4):
                for sign in (-1, 1):
                    tried = found[row].clone()
                    tried[j] = sign * 2.0 ** (int(grid.exponents[row]) - k + 1) if k else 0.0
                    assert cost(row, tried) >= best - 1e-9


def test_gptq_gives_the_mean_of_its_error_to_the_bias_and_keeps_pruned_weights():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 6, dtype=torch.float64, generator=generator)
    weight[:, 2] = 0
    x = torch.randn(200, 6, dtype=torch.float64, generator=generator) + 5
    x[:, 2] = x[:, 1] + x[:, 3]  # what would best make up for the errors of the others, were it not pruned
    found, _, correction = gptq(weight, x, Log2Format.of(3))
    assert not found[:, 2].any()
    assert torch.allclose((x @ found.T + correction).mean(0), (x @ weight.T).mean(0))


def test_taylor_importance_removes_what_the_loss_does_not_feel():
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    graph = capture(model.eval(), (3,))

    def felt(made: torch.fx.GraphModule) -> None:
        for parameter in made.parameters():
            parameter.grad = torch.zeros_like(parameter)
        first = next(m for m in made.modules() if isinstance(m, nn.Linear))
        first.weight.grad[[1, 4, 5]] = 1.0

    cut = prune(graph, 0.5, "taylor", felt)
    origin = next(v for k, v in cut.meta["origin"].items() if k.endswith("weight"))
    assert sorted({int(i) // 3 for i in origin.reshape(-1)}) == [1, 4, 5]


@pytest.mark.parametrize("rows", [[[0.5, -0.25, 1.0], [0.75, 0.1, -0.3]]])
def test_a_bias_is_as_fine_as_the_products_of_its_layer(rows):
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        layer.bias.copy_(torch.tensor([0.123456, -0.654321]))
    torch.manual_seed(0)
    graph = quantise(capture(nn.Sequential(layer).eval(), (3,)), torch.randn(50, 3), Quantise(Log2Format.of(4)),
                     Widths(), rounding="nearest")
    made = next(m for m in graph.modules() if isinstance(m, Quantised))
    lost = made.quantised_bias().double().detach() - torch.tensor([0.123456, -0.654321], dtype=torch.float64)
    step = 2.0 ** -made.bias_frac
    assert float(lost.abs().max()) <= step / 2 + 1e-7
    # The products of inputs of 8 bits around 1 and of weights down to an eighth of the largest are this fine at least.
    assert step <= 2.0**-8


def test_an_activation_format_that_never_saturates_is_the_finest_that_holds_all():
    form = fitted(np.array([-3.2, 0.1, 3.9]), 8, never_saturate=True)
    assert form == FixedPoint(True, 8, 5)
    assert fitted(np.array([0.2, 3.9]), 8, never_saturate=True) == FixedPoint(False, 8, 6)
    assert fitted(np.array([0.2, 3.9]), 8, never_saturate=True, spare=2) == FixedPoint(False, 8, 4)
