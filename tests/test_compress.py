"""Compression: grids, GPTQ, pruning, training, and the equality of network and reference."""

from __future__ import annotations

import copy
import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Branches, blobs, made
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Data, Scheme, Settings, compress
from toolkit.compress.compress import prove
from toolkit.compress.lower import lower
from toolkit.compress.measure.measures import Measure
from toolkit.compress.measure.storage import smallest
from toolkit.compress.pruning.structured import IMPORTANCES, prune
from toolkit.compress.quantisation import grids
from toolkit.compress.quantisation.calibration import fitted
from toolkit.compress.quantisation.gptq import gptq
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.steps import Quantise
from toolkit.compress.training.loop import evaluate, train, whole_loss
from toolkit.design import Add, ArgMax, Clamp, Concat, Dense, FixedPoint, IntegerFormat, Log2Format, TwoTermFormat
from toolkit.utils.errors import InputError

weight_formats = st.one_of(st.integers(2, 8).map(IntegerFormat), st.integers(2, 6).map(Log2Format.of),
                           st.integers(3, 8).map(TwoTermFormat.of),
                           st.tuples(st.integers(3, 8), st.integers(1, 3)).map(lambda p: Log2Format(*p)))


def levels(form, exponent: int) -> np.ndarray:
    """Every value of a grid, by its definition."""
    if isinstance(form, IntegerFormat):
        return np.arange(-(2 ** (form.bits - 1)), 2 ** (form.bits - 1)) * 2.0**exponent
    if isinstance(form, TwoTermFormat):
        return np.concatenate([-form.magnitudes, form.magnitudes]) * 2.0**exponent
    powers = 2.0 ** (exponent - np.arange(form.levels))
    return np.concatenate([-powers, [0.0], powers])


@given(weight_formats, st.integers(-4, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_projection_gives_the_nearest_level(form, exponent, seed):
    values = np.random.default_rng(seed).normal(0, 2.0**exponent, (1, 50))
    found = grids.project(torch.from_numpy(values), torch.tensor([exponent]), form).numpy()
    grid = levels(form, exponent)
    assert np.isin(found, grid).all()
    assert (np.abs(found - values) == np.abs(values[..., None] - grid).min(axis=-1)).all()


def test_the_threshold_between_powers_lies_half_way():
    values = torch.tensor([[1.5, np.nextafter(1.5, 0), 0.75, 0.125, np.nextafter(0.125, 0)]], dtype=torch.float64)
    assert grids.project(values, torch.tensor([1]), Log2Format(4, 4)).tolist() == [[2.0, 1.0, 1.0, 0.25, 0.0]]


@given(weight_formats, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_codes_stand_for_exactly_the_projected_values(form, seed):
    values = torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (5, 7)))
    exponents = grids.fit(values, form)
    found = grids.project(values, exponents, form)
    assert (grids.encode(found, exponents, form).values() == found.numpy()).all()


def test_the_exponent_is_chosen_by_squared_error():
    row = torch.tensor([[1.05] + [0.24] * 60])  # one outlier must not set the scale of a two-level grid
    chosen = grids.fit(row.double(), Log2Format(3, 2))
    errors = {e: float(((grids.project(row.double(), torch.tensor([e]), Log2Format(3, 2)) - row) ** 2).sum())
              for e in range(-4, 3)}
    assert errors[int(chosen)] == min(errors.values())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gptq_loses_less_of_the_output_than_round_to_nearest(bits):
    rng = np.random.default_rng(bits)
    mixing = rng.normal(0, 1, (24, 24))
    x = torch.from_numpy(np.maximum(rng.normal(0, 1, (500, 24)) @ mixing, 0))
    w, form = torch.from_numpy(rng.normal(0, 0.3, (16, 24))), Log2Format.of(bits)
    ours, _, correction = gptq(w, x, form)
    plain = grids.project(w, grids.fit(w, form), form)
    wanted = x @ w.T
    error = ((x @ ours.T + correction - wanted) ** 2).mean()
    assert error < 0.8 * (((x @ plain.T) - wanted) ** 2).mean()


@given(st.integers(2, 12), st.floats(0.01, 100), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_an_activation_format_has_the_least_squared_error_of_its_neighbours(width, scale, positive, seed):
    values = np.random.default_rng(seed).normal(0, scale, 300)
    values = np.abs(values) if positive else values
    form = fitted(values, width)
    assert form.width == width and form.signed != positive

    def error(f: FixedPoint) -> float:
        return float(((f.value(f.quantise(values)) - values) ** 2).sum())

    assert error(form) <= min(error(FixedPoint(form.signed, width, form.frac + d)) for d in (-1, 1))


def test_one_outlier_does_not_set_the_range():
    values = np.concatenate([np.random.default_rng(0).uniform(0, 1, 10_000), [1.3]])
    assert fitted(values, 4) == FixedPoint(False, 4, 4)


@pytest.mark.parametrize("scheme", ["log2:4", "log2:3,levels=2", "int:5", "log2x2:4", "structured:0.4+log2:4"])
@pytest.mark.parametrize("argmax", [False, True])
def test_the_design_equals_the_trained_network_in_float64(scheme, argmax):
    found = compress(made(lambda: Branches(argmax)), blobs(), scheme, Settings(qat_epochs=2, finetune_epochs=2))
    assert found.design is not None and found.argmax == argmax
    # compress() has compared them already; here by hand, on inputs it has not seen.
    x = np.random.default_rng(5).normal(0, 3, (500, 6)).astype(np.float32)
    codes = found.design.input.format.quantise(x)
    network = evaluate(copy.deepcopy(found.graph).double(), x, torch.float64)
    ours = found.design.reference(codes)
    if argmax:
        assert (ours[:, 0] == network.argmax(axis=1)).all()
    else:
        assert (found.design.output.format.value(ours) == network).all()


def test_a_network_that_differs_in_one_weight_is_not_proved():
    found = compress(made(), blobs(), "log2:4", Settings(qat_epochs=0))
    with torch.no_grad():
        found.graph.get_submodule("c").weight[0, 3] *= -4
    assert found.design is not None
    with pytest.raises(AssertionError, match="differs"):
        prove(found.graph, found.design, found.data, False)


def test_activations_are_fused_and_shared_tensors_are_not():
    found = compress(made(), blobs(), "log2:4", Settings(qat_epochs=0))
    assert found.design is not None
    assert [(layer.name, type(layer)) for layer in found.design.layers] == [
        ("a", Dense), ("b", Dense), ("add", Add), ("relu", Clamp), ("cat", Concat), ("c", Dense)]
    first = found.design.layers[0].requantise  # type: ignore[attr-defined]
    assert first.low == first.format.quantise(np.array(-0.5)) and first.high == first.format.quantise(np.array(0.75))


def test_an_argmax_ends_the_design():
    found = compress(made(lambda: Branches(True)), blobs(), "log2:4", Settings(qat_epochs=0))
    assert found.design is not None and isinstance(found.design.layers[-1], ArgMax)


def test_training_recovers_what_two_bits_lose():
    data = blobs(count=1200)
    inputs, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    graph = capture(made(lambda: nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 4))), (6,))
    train(graph, data, epochs=10, lr=5e-3, seed=0, what="float")
    found = quantise(graph, inputs, Quantise(Log2Format.of(2)), Widths(), rounding="nearest")
    before = whole_loss(found, inputs, labels, inputs)
    train(found, data, epochs=20, lr=5e-3, seed=0, what="trained")
    assert whole_loss(found, inputs, labels, inputs) < 0.8 * before


def test_without_labels_the_network_learns_to_give_what_the_original_gives():
    data = blobs()
    steps = compress(made(), Data.of(data.x_train, None, data.x_test), "log2:3", Settings(qat_epochs=10)).steps
    assert steps[-1].accuracy is None and steps[-1].disagreement is not None
    assert steps[-1].disagreement <= steps[-2].disagreement  # type: ignore[operator]


def test_targets_that_are_numbers_are_regressed():
    data = blobs()
    y = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    trained = Data.of(data.x_train, y[:len(data.x_train)], data.x_test, y)
    steps = compress(made(), trained, "log2:4", Settings(qat_epochs=2)).steps
    assert steps[-1].error is not None and steps[-1].accuracy is None


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_pruned_neurons_are_gone(importance):
    graph = capture(made(lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(),
                                               nn.Linear(10, 4))), (6,))

    def gradients(g):
        g(torch.randn(8, 6)).square().sum().backward()

    found = prune(graph, 0.5, importance, gradients)
    shapes = [tuple(m.weight.shape) for m in found.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(10, 6), (5, 10), (4, 5)]


def test_the_origin_of_every_kept_weight_is_known():
    graph = capture(made(), (6,))
    found = prune(graph, 0.4, "l2")
    before = dict(graph.named_parameters())
    for name, parameter in found.named_parameters():
        place = found.meta["origin"][name]
        assert torch.equal(before[name].detach().reshape(-1)[place], parameter.detach())


def test_the_weakest_neurons_go():
    model = made(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))
    with torch.no_grad():
        for i in (1, 4, 6, 7):
            model[0].weight[i], model[0].bias[i] = 1e-3, 0.0
            model[2].weight[:, i] = 1e-3
    found = prune(capture(model, (6,)), 0.5, "l2")
    assert float(found.get_submodule("layer_0").weight.detach().abs().amax(dim=1).min()) > 0.01


def test_weight_ber_counts_bits_of_the_float_patterns():
    graph = capture(nn.Sequential(nn.Linear(2, 2)), (2,))
    with torch.no_grad():
        graph.layer_0.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        graph.layer_0.bias.fill_(0.5)
    measure = Measure(graph, Data.of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1])))
    changed = copy.deepcopy(graph)
    with torch.no_grad():
        changed.layer_0.weight[0, 0] = -1.0  # one sign bit of six words
    assert measure.step("s", changed).weight_ber == 1 / (32 * 6)


def test_removed_weights_count_as_zero():
    graph = capture(made(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))), (6,))
    measure = Measure(graph, blobs())
    found = prune(graph, 0.5, "l2")
    masked = 0
    for name, parameter in graph.named_parameters():
        gone = torch.ones(parameter.numel(), dtype=torch.bool)
        gone[found.meta["origin"][name].reshape(-1)] = False
        masked += sum(int(np.bitwise_count(v)) for v in parameter.detach().reshape(-1)[gone].numpy().view(np.uint32))
    assert measure.step("s", found).weight_ber == masked / (32 * 92)


def test_sparse_storage_counts_every_byte():
    dense = np.zeros((4, 300), np.float32)
    dense[1, [5, 299]] = 1.0
    assert smallest({"w": dense}) == ("CSR", bytes([0, 2, 2, 2]) + np.array([5, 299], "<u2").tobytes()
                                      + np.ones(2, "<f4").tobytes())


def test_the_sizes_are_those_of_real_bytes():
    steps = compress(made(), blobs(), "log2:4", Settings(qat_epochs=0)).steps
    assert steps[0].size == 4 * (6 * 8 + 8 + 8 * 8 + 8 + 16 * 4 + 4)
    codes, channels = 6 * 8 + 8 * 8 + 16 * 4, 20
    assert codes // 2 + channels < steps[1].size < codes // 2 + channels + 4 * channels


def test_codes_of_a_pruned_network_are_stored_with_a_bitmap_where_that_is_smaller():
    step = compress(made(), blobs(), "magnitude:0.7+log2:4", Settings(qat_epochs=0, finetune_epochs=0)).steps[-1]
    weights, left = (48, 64, 64), step.non_zeros
    assert step.storage == "bitmap, packed codes"
    assert sum(weights) // 8 + (left - 20) // 2 + 20 < step.size < sum(weights) // 8 + left // 2 + 3 + 5 * 20
    whole = compress(made(), blobs(), "magnitude:0.1+log2:4", Settings(qat_epochs=0, finetune_epochs=0)).steps[-1]
    assert whole.storage == "packed codes" and step.size < whole.size


@pytest.mark.parametrize("text", ["log2:4", "log2:4,levels=4", "int:8", "log2x2:5", "log2x2:5,levels=9,scale=tensor",
                                  "structured:0.5+log2:3",
                                  "structured:0.25,importance=taylor+int:4"])
def test_a_scheme_prints_as_it_was_written(text):
    assert str(Scheme.parse(text)) == text


@pytest.mark.parametrize("text, word", [
    ("", "not a step"), ("log2", "lacks its value"), ("log2:9", "2..8"), ("log2:x", "whole"),
    ("log2:4,levels=8", "levels"), ("log2x2:2", "3..8"),
    ("log2:4+structured:0.5", "last"), ("structured:1.5", "between"), ("structured:0.5,importance=luck", "luck"),
    ("structured:half", "number"), ("prune:0.5", "prune"), ("log2:4,depth=3", "depth"), ("int:99999999", "whole")])
def test_a_wrong_scheme_names_what_is_wrong(text, word):
    with pytest.raises(InputError, match=word):
        Scheme.parse(text)


@pytest.mark.parametrize("change, word", [
    ({"x_train": np.full((4, 6), np.nan)}, "NaN"), ({"x_train": np.full((4, 6), np.inf)}, "NaN or infinity"),
    ({"x_train": np.ones((4, 6))}, "constant"), ({"x_train": np.zeros(4)}, "shape"),
    ({"y_train": np.zeros(3)}, "one label"), ({"x_test": np.zeros((4, 5))}, "shape"),
    ({"x_train": np.array([["a"] * 6] * 4)}, "numbers")])
def test_wrong_data_is_one_sentence(change, word):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(4, 6)), "y_train": np.arange(4), "x_test": rng.normal(size=(4, 6)),
                  "y_test": np.arange(4)} | change
    with pytest.raises(InputError, match=word) as caught:
        Data.of(**arrays)
    assert "\n" not in str(caught.value)


def test_some_constant_features_are_a_note_and_still_compress():
    data = blobs()
    x = data.x_train.copy()
    x[:, 2] = 0.25
    found = compress(made(), Data.of(x, data.y_train, data.x_test, data.y_test), "log2:4", Settings(qat_epochs=0))
    assert any("1 of 6 input features" in note for note in found.notes)


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_out_of_range_are_named(label):
    data = blobs()
    y = data.y_train.copy()  # type: ignore[union-attr]
    y[7] = label
    with pytest.raises(InputError, match=f"{label}.*0..3"):
        compress(made(), Data.of(data.x_train, y, data.x_test, data.y_test), "log2:4")


def test_a_model_of_zeros_still_becomes_a_design():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    design = compress(model, blobs(), "log2:4", Settings(qat_epochs=0)).design
    assert design is not None and not design.reference(np.ones((1, 6), int)).any()


def test_quantising_leaves_the_float_graph_alone():
    graph = capture(made(), (6,))
    before = {k: v.clone() for k, v in graph.state_dict().items()}
    quantise(graph, torch.from_numpy(blobs().x_train), Quantise(Log2Format.of(4)), Widths())
    assert all(torch.equal(v, before[k]) for k, v in graph.state_dict().items())
    assert any(n.target is operator.add for n in graph.graph.nodes)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_data_files_that_are_none_are_refused(tmp_path, content):
    path = tmp_path / "d.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError):
        Data.load(path)


def test_x_and_y_of_an_npz_are_samples_and_their_labels(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)), np.arange(60) % 3
    np.savez(tmp_path / "d.npz", x=x, y=y)
    data = Data.load(tmp_path / "d.npz")
    assert data.task == "classes"
    labels = {tuple(row): label for row, label in zip(x.astype(np.float32).tolist(), y.tolist(), strict=True)}
    for rows, found in ((data.x_train, data.y_train), (data.x_val, data.y_val)):
        assert [labels[tuple(row)] for row in rows.tolist()] == found.tolist()


@pytest.mark.parametrize("keys", [("x", "labels"), ("x_train", "y_train", "weights"), ("x", "y_train")])
def test_an_array_of_an_npz_that_is_not_understood_is_named(keys: tuple[str, ...], tmp_path):
    np.savez(tmp_path / "d.npz", **{key: np.arange(12).reshape(6, 2) for key in keys})
    with pytest.raises(InputError, match=f"holds '{keys[-1]}', which is not understood"):
        Data.load(tmp_path / "d.npz")


def test_a_truncated_data_file_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(50, 6)))
    data = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError):
        Data.load(tmp_path / "d.npz")


def test_data_with_pickles_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.array([{"a": 1}, [2]], dtype=object))
    with pytest.raises(InputError):
        Data.load(tmp_path / "d.npz")


def test_lowering_keeps_names_apart():
    graph = capture(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)), (6,))
    graph.meta["paths"] = dict.fromkeys(graph.meta["paths"], "same")
    found = quantise(graph, torch.from_numpy(blobs().x_train), Quantise(Log2Format.of(4)), Widths())
    assert [layer.name for layer in lower(found, "n").layers] == ["same", "same_2", "same_3"]
