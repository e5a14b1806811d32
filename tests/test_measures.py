"""Measures: what is counted, what differs, what gptq rounding is worth, and what a sweep concludes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_models import blobs, plain
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Data, Settings, compress
from toolkit.compress.measure.measures import Drop, Measure, Step
from toolkit.compress.quantisation import grids
from toolkit.compress.quantisation.gptq import BLOCK, _columns, _descent, _error, _Grid, gptq
from toolkit.compress.quantisation.layers import Quantised
from toolkit.compress.quantisation.ptq import Widths
from toolkit.compress.sweep import Row, Sweep
from toolkit.design.weights import IntegerFormat, Log2Format
from toolkit.importing.weights import approximated
from toolkit.report import choices

QUICK = Settings(qat_epochs=1, finetune_epochs=1)


# --- counting --------------------------------------------------------------------------------------------------------

def test_layers_without_a_bias_count_none_in_the_network_and_in_its_hardware():
    from toolkit.hardware import Options
    from toolkit.hardware.memory import memory
    from toolkit.hardware.plan import plan

    sizes = {}
    for bias in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 10, bias=bias), nn.ReLU(), nn.Linear(10, 4, bias=bias))
        found = compress(model, blobs(), "log2:4", Settings(qat_epochs=0, rounding="nearest"))
        first, last = found.steps[0], found.steps[-1]
        assert first.weights == last.weights == 100 and first.parameters == last.parameters == 100 + 14 * bias
        assert first.size == 4 * first.parameters and first.non_zeros == first.parameters
        layers = memory(plan(found.design, Options()), {}).layers
        assert [layer.parameters for layer in layers] == [60 + 10 * bias, 40 + 4 * bias]
        assert [layer.weights for layer in layers] == [60, 40]
        assert all((layer.bias_bits > 0) == bias for layer in layers)
        sizes[bias] = last.size
    assert sizes[False] == 50 + 14 < sizes[True], "half a byte a weight, a byte of scale a channel"


def test_weights_are_counted_without_biases():
    step = compress(plain(6, 10, 4), blobs(), "magnitude:0.5", Settings(finetune_epochs=0)).steps[-1]
    assert step.weights == 100 and step.parameters == 114 and step.non_zero_weights == 50
    assert step.non_zeros == 50 + 14


def test_a_bias_that_quantisation_makes_zero_leaves_the_weight_ber_defined():
    graph = capture(nn.Sequential(nn.Linear(2, 2)), (2,))
    with torch.no_grad():
        graph.layer_0.bias.fill_(1.0)
    measure = Measure(graph, Data.of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1])))
    without = copy.deepcopy(graph)
    with torch.no_grad():
        without.layer_0.bias.zero_()
    assert measure.step("s", without).weight_ber == 2 * 7 / (32 * 6)  # 1.0 has seven ones, 0.0 none


# --- what differs ----------------------------------------------------------------------------------------------------

def test_the_output_ber_counts_the_bits_of_the_outputs_against_the_originals():
    model, data = plain(6, 8, 4), blobs()
    found = compress(model, data, "log2:2", Settings(qat_epochs=0, rounding="nearest"))
    form = found.design.output.format
    ours = found.design.reference(found.test_codes)
    with torch.no_grad():
        theirs = form.quantise(model(torch.from_numpy(data.x_test)).numpy())
    wrong = sum(((int(a) ^ int(b)) & ((1 << form.width) - 1)).bit_count() for a, b in zip(ours.flat, theirs.flat,
                                                                                          strict=True))
    assert found.steps[-1].output_ber == wrong / (form.width * ours.size) > 0.05
    assert found.steps[0].output_ber == 0 and found.steps[-1].output_format == f"{form.width}-bit codes"


def test_disagreement_is_the_share_of_samples_whose_class_moved():
    data = blobs()
    graph = capture(plain(6, 8, 4), (6,))
    measure = Measure(graph, data)
    turned = copy.deepcopy(graph)
    last = [m for m in turned.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        for parameter in (last.weight, last.bias):
            parameter.copy_(parameter[[1, 0, 2, 3]])
        classes = graph(torch.from_numpy(data.x_test)).argmax(1).numpy()
    step = measure.step("s", turned)
    assert step.disagreement == np.isin(classes, (0, 1)).mean() > 0
    assert measure.step("s", graph).disagreement == 0


def test_validation_and_test_figures_are_of_their_own_samples():
    data = blobs()
    model = plain(6, 8, 4)
    step = Measure(capture(model, (6,)), data).step("s", capture(model, (6,)))
    for value, x, y in ((step.quality, data.x_val, data.y_val), (step.accuracy, data.x_test, data.y_test)):
        with torch.no_grad():
            assert value == (model(torch.from_numpy(x)).argmax(1).numpy() == y).mean()
    assert step.quality != step.accuracy


def test_a_drop_is_positive_where_the_network_is_worse_and_has_the_interval_of_both_answers():
    graph, data = capture(plain(6, 8, 4), (6,)), blobs()
    measure = Measure(graph, data)
    one = measure.measured("one", graph)
    worse = copy.deepcopy(graph)
    with torch.no_grad():
        list(worse.parameters())[-1][0] += 100.0  # always class 0
    other = measure.measured("other", worse)
    drop, back = measure.drop(other, one), measure.drop(one, other)
    assert drop.test == pytest.approx(100 * (one.step.accuracy - other.step.accuracy)) == -back.test
    assert drop.validation == pytest.approx(100 * (one.step.quality - other.step.quality)) == -back.validation
    assert drop.low < drop.test < drop.high and (back.low, back.high) == pytest.approx((-drop.high, -drop.low))


def test_biases_are_as_fine_as_the_products_or_a_quarter_of_the_outputs_last_bit():
    for hidden in (4, 8, 12):
        found = compress(plain(6, 12, 8, 4), blobs(), "log2:4", Settings(Widths(hidden=hidden), qat_epochs=0))
        layers = [m for m in found.graph.modules() if isinstance(m, Quantised)]
        frac = found.design.input.format.frac
        for layer, made in zip(layers, found.design.layers, strict=True):
            products = frac + made.weights.integers()[1]
            frac = made.requantise.format.frac
            finest = max(products, frac + 1)
            error = np.abs(made.bias * 2.0**-made.bias_frac - layer.bias.detach().double().numpy()).max()
            assert error <= 2.0 ** -(finest + 1), (hidden, made.name)


def test_the_error_of_approximated_weights_is_the_largest_one_as_a_share_of_its_channels_largest_weight():
    values = np.random.default_rng(0).normal(size=(5, 40)) * np.array([[1e-3], [1], [7], [300], [0.2]])
    weights, error = approximated(values)
    made = weights.integers()[0] * 2.0 ** -weights.integers()[1]
    assert error == pytest.approx((np.abs(made - values).max(1) / np.abs(values).max(1)).max())
    assert 1 / 600 < error < 1 / 100


# --- gptq rounding (GPTQ, then a descent), piece by piece ------------------------------------------------------

def layer(width: int, rows: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights, damped Hessian) of inputs that depend on each other."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, width)) @ rng.normal(size=(width, width)) + rng.normal(size=(400, 1)) * 3
    hessian = torch.from_numpy(x.T @ x / 400)
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    return torch.from_numpy(rng.normal(size=(rows, width))), damped


def exact(w: np.ndarray, hessian: np.ndarray, grid) -> np.ndarray:
    """Optimal brain quantisation as its paper has it: after each weight, all that are left move to their optimum."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    found = np.zeros_like(w)
    for r, row in enumerate(w):
        rest, left = row.copy(), list(order)
        while left:
            j = left.pop(0)
            found[r, j] = float(grid.of(torch.tensor([r])).column(torch.tensor([rest[j]], dtype=torch.float64), j))
            if left:
                part = hessian[np.ix_(left, left)]
                rest[left] += np.linalg.solve(part, hessian[left, j]) * (rest[j] - found[r, j])
    return found


@pytest.mark.parametrize("width", [5, BLOCK, 2 * BLOCK + 7])
def test_the_columns_pass_their_errors_on_as_the_method_says_within_a_block_and_beyond_it(width):
    w, hessian = layer(width)
    form = Log2Format.of(3)
    grid = _Grid(form, "linear", grids.fit(w, form), w != 0)
    found = _columns(w, hessian, grid)
    assert np.array_equal(found.numpy(), exact(w.numpy(), hessian.numpy(), grid))
    plain_rounding = grids.project(w, grid.exponents, form)
    assert (_error(w - found, hessian) < _error(w - plain_rounding, hessian)).all()


@pytest.mark.parametrize("width", [6, 2 * BLOCK + 5])
def test_after_the_descent_no_single_weight_can_be_rounded_better(width):
    w, hessian = layer(width, seed=1)
    form = IntegerFormat(4)
    grid = _Grid(form, "linear", grids.fit(w, form), w != 0)
    start = grids.project(w, grid.exponents, form)
    found = _descent(w, start, hessian, grid)
    error = _error(w - found, hessian)
    before = _error(w - start, hessian)
    assert (error <= before).all() and (error < before).any()
    steps = 2.0 ** grid.exponents.double()
    for j in range(width):
        for way in (-1, 1):
            moved = found.clone()
            moved[:, j] += way * steps
            inside = torch.isclose(grids.project(moved[:, [j]], grid.exponents, form)[:, 0], moved[:, j])
            assert (_error(w - moved, hessian)[inside] >= error[inside] - 1e-9).all()


@pytest.mark.parametrize("scale", ["channel", "tensor"])
def test_gptq_takes_the_better_of_both_starts_and_of_all_exponents(scale):
    w, _ = layer(12, rows=6, seed=2)
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + 2.0)
    form = Log2Format.of(3)
    found, exponents, correction = gptq(w, x, form, scale=scale)
    centred = x - x.mean(0)
    hessian = centred.T @ centred / len(x)
    hessian = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(12, dtype=torch.float64)
    ours = _error(w - found, hessian)
    tried = []
    for e in grids.candidates(w, form, scale):
        grid = _Grid(form, "linear", e, w != 0)
        for start in (grids.project(w, e, form), _columns(w, hessian, grid)):
            tried.append(_error(w - _descent(w, start, hessian, grid), hessian))
    every = torch.stack(tried)
    least = every.min(0).values if scale == "channel" else every[every.sum(1).argmin()]
    assert torch.allclose(ours, least)
    assert torch.allclose((x @ w.T).mean(0), (x @ found.T).mean(0) + correction), "the mean is made up for by the bias"
    assert torch.equal(grids.project(found, exponents, form), found)


# --- what a sweep concludes ------------------------------------------------------------------------------------------

def row(name: str, size: int, accuracy: float, drop: float | None = None, **figures) -> Row:
    """A row of validation `accuracy`, whose test accuracy is 3 points less."""
    drop = 100 * (0.9 - accuracy) if drop is None else drop
    step = Step(name, "", 10, 10, 0.0, size, size, 1000 / size, figures.pop("weight_ber", 0.1),
                figures.pop("output_ber", 0.1), accuracy - 0.03, 0.0, None, quality=accuracy,
                drop=Drop(0, drop, drop + 1, drop - 1, drop + 3), drop_as_given=Drop(0, drop, drop), **figures)
    return Row(name, "quantization", name, step)


def swept(*rows: Row) -> Sweep:
    original = Step("original", "", 10, 10, 0.0, 1000, 1000, 1.0, 0.0, 0.0, 0.87, 0.0, None, quality=0.9)
    return Sweep(original, rows, (), "classes")


def test_the_best_row_is_the_smallest_within_two_points_of_validation_accuracy():
    rows = [row("a", 100, 0.90), row("b", 50, 0.885), row("c", 70, 0.89), row("d", 10, 0.87)]
    assert choices.best(rows).name == "b"
    assert choices.best([rows[3], row("e", 5, 0.5)]).name == "d", "where none is within, the least drop"
    own = choices.best([row("x", 50, 0.80, drop=1.0), row("y", 40, 0.89, drop=3.0)])
    assert own.name == "x", "each against the baseline trained for as many epochs"
    assert choices.best([]) is None


def test_rows_that_are_equalled_in_one_figure_are_not_called_beaten_in_both():
    found = swept(row("small", 50, 0.80), row("good", 100, 0.90), row("equal quality", 120, 0.90),
                  row("equal size", 100, 0.85), row("beaten", 110, 0.70), row("twin", 50, 0.80))
    assert [r.name for r in choices.pareto(found)] == ["small", "twin", "good"]
    assert [r.name for r in choices.beaten(found)] == ["beaten"]
    line = next(text for text in choices.recommendations(found) if "6 rows" in text)
    assert line.startswith("1 of 6 rows are larger and also worse on the validation samples than another row; 2 more")


def test_recommendations_tell_the_test_drop_with_its_interval_and_call_nothing_a_difference_that_is_none():
    line = choices.recommendations(swept(row("a", 100, 0.90), row("b", 50, 0.885)))[0]
    assert ": b: drop" in line and "+2.50 points (95 % interval +0.5 .. +4.5)" in line
    line = choices.recommendations(swept(row("a", 100, 0.90)))[0]
    assert "+1.00 points, no measurable difference (95 % interval -1.0 .. +3.0)" in line


def test_rank_correlations_are_over_rows_whose_bits_are_of_one_kind():
    floats = [row(f"f{i}", 100 + i, 0.9 - 0.1 * i, output_ber=0.1 * i, weight_ber=0.1 * i) for i in range(3)]
    codes = [row(f"q{i}", 50 + i, 0.9 - 0.1 * i, output_ber=0.9 - 0.1 * i, weight_ber=0.1 * i,
                 output_format="16-bit codes") for i in range(3)]
    trained = [row(f"t{i}", 50 + i, 0.9 - 0.1 * i, output_ber=0.1 * i, weight_ber=0.5 - 0.1 * i, epochs=5)
               for i in range(3)]
    lines = [text for text in choices.analysis(swept(*floats, *codes, *trained)) if "rank correlation" in text]
    assert lines == [
        "weight BER: rank correlation with the accuracy drop over 6 rows before training: +1.00",
        ("output BER: rank correlation with the accuracy drop over 3 rows before training, outputs of 16-bit "
         "codes: -1.00"),
        "output BER: rank correlation with the accuracy drop over 3 rows before training, outputs of float32: +1.00",
        "weight BER: rank correlation with the accuracy drop over 3 rows after training: -1.00",
        "output BER: rank correlation with the accuracy drop over 3 rows after training, outputs of float32: +1.00"]
