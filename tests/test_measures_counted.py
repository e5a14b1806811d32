"""Measures, artifacts and sweeps counted by hand: bytes, bits, names, and what stands where nothing was measured."""

from __future__ import annotations

import importlib
import json
import math
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Baselines, Data, Settings, compress
from toolkit.compress.artifact import load
from toolkit.compress.measure import measures, outcomes
from toolkit.compress.measure.intervals import paired, wilson
from toolkit.compress.measure.measures import Drop, Measure, Step
from toolkit.compress.measure.storage import packed, smallest, stored_codes
from toolkit.compress.quantisation.fake_quant import FakeQuantLayer
from toolkit.compress.sweep import Row, sweep
from toolkit.design import FixedPoint
from toolkit.report import choices
from toolkit.utils.errors import InputError

searching = importlib.import_module("toolkit.search.search")  # the package's own `search` is a function
NONE = Settings(qat_epochs=0, finetune_epochs=0)


def samples(shape: tuple[int, ...], count: int = 40, seed: int = 0) -> Data:
    """Random samples of two classes, by the sign of their sum."""
    x = np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)
    y = (x.reshape(count, -1).sum(axis=1) > 0).astype(np.int64)
    return Data.of(x, y, x, y, x_val=x, y_val=y)


def network(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return nn.Sequential(*layers).eval()


# Bytes.

def test_a_minifloat_network_is_a_byte_for_each_weight_a_scale_and_float_biases():
    step = compress(network(nn.Linear(6, 4)), samples((6,)), "minifloat:E4M3", NONE).steps[-1]
    assert step.storage.endswith("codes") and step.storage != "packed codes"
    assert 6 * 4 + 4 * 4 < step.size <= 6 * 4 + 4 * 4 + 8  # one scale


def test_minifloats_of_six_bits_are_packed():
    sizes = [compress(network(nn.Linear(64, 4)), samples((64,)), f"minifloat:{kind}", NONE).steps[-1].size
             for kind in ("E4M3", "E3M2")]
    assert sizes[0] - sizes[1] == 64 * 4 // 4  # 6 bits in the place of 8


def test_packed_codes_are_the_codes_bit_by_bit_from_the_lowest():
    made = compress(network(nn.Linear(3, 2, bias=False)), samples((3,)), "log2:4", NONE)
    layer = next(m for m in made.graph.modules() if hasattr(m, "codes"))
    codes = [int(c) for c in layer.codes().codes.ravel()]
    bits = sum(code << (4 * i) for i, code in enumerate(codes))
    assert packed(made.graph)[1][:3] == bits.to_bytes(3, "little")


def test_few_weights_are_stored_as_bitmaps_one_behind_the_other():
    values = {"a.weight": np.zeros((4, 8), np.float32), "b.weight": np.zeros((2, 4), np.float32)}
    values["a.weight"][0, ::2], values["b.weight"][1] = 0.5, 0.25
    way, stored = smallest(values)
    assert way == "bitmap" and len(stored) == (32 // 8 + 4 * 4) + (8 // 8 + 4 * 4)


def test_a_bitmap_is_the_places_of_what_is_not_zero_and_then_its_values():
    values = {"a.weight": np.zeros((2, 16), np.float32)}
    values["a.weight"][0, 1:3], values["a.weight"][1, 15] = (0.5, 3.0), -2.0
    way, stored = smallest(values)
    assert way == "bitmap"
    assert stored == bytes([0b0110_0000, 0, 0, 1]) + np.float32([0.5, 3.0, -2.0]).tobytes()


def test_a_bitmap_of_codes_is_the_places_of_those_that_are_not_zero_and_then_these():
    model = network(nn.Linear(32, 2, bias=False))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 1] = model[0].weight[1, 30] = 0.5
    made = compress(model, samples((32,)), "log2:4", NONE)
    layer = next(m for m in made.graph.modules() if hasattr(m, "codes"))
    code = int(layer.codes().codes[0, 1])
    way, stored = packed(made.graph)
    assert way == "bitmap, packed codes"
    assert stored[:8] == bytes([0b0100_0000, *[0] * 6, 0b0000_0010])
    assert bytes([code | code << 4]) in stored[8:]


def test_the_codes_of_every_layer_are_stored():
    made = compress(network(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False)), samples((6,)),
                    "minifloat:E4M3", NONE)
    layers = [m for m in made.graph.modules() if isinstance(m, FakeQuantLayer)]
    stored = stored_codes(made.graph)[1]
    assert len(layers) == 2 and all(layer.arrays()["codes"].tobytes() in stored for layer in layers)
    assert 24 + 12 < len(stored) <= 24 + 12 + 16


@pytest.mark.parametrize("columns, octets", [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_column_indices_are_as_narrow_as_the_last_column(columns: int, octets: int):
    row = np.zeros((1, columns), np.float32)
    row[0, -1] = 1.0
    way, stored = smallest({"a.weight": row})
    assert way == "CSR" and len(stored) == 1 + octets + 4  # the row's end, the index, the value


def test_a_network_without_weights_is_as_large_as_itself_and_not_sparse():
    graph = capture(nn.Sequential(nn.ReLU()).eval(), (3,))
    step = Measure(graph, samples((3,))).step("nothing", graph)
    assert (step.name, step.parameters, step.size, step.sparsity, step.ratio) == ("nothing", 0, 0, 0.0, 1.0)


# Figures of one network.

def test_a_network_that_was_not_trained_has_no_epochs_and_its_sparsity_is_against_the_original():
    data, graph = samples((3,)), capture(network(nn.Linear(3, 2)), (3,))
    measure = Measure(graph, data)
    half = measure.copy()
    for parameter in half.parameters():
        parameter.data.view(-1)[::2] = 0
    step = measure.measured("half", half).step
    assert (step.epochs, step.parameters, step.sparsity) == (0, 8, 0.5)


def test_a_drop_of_a_metric_is_in_hundredths_of_the_originals_size():
    data, graph = samples((3,)), capture(network(nn.Linear(3, 2)), (3,))
    told = iter([-2.0, -2.0, -2.0, -3.0, -3.0])
    measure = Measure(graph, data, lambda outputs, labels: next(told))
    first = measure.measured("first", graph)
    assert measure.drop(measure.measured("second", graph), first).validation == 50


def test_a_metric_of_ones_own_is_given_the_outputs_and_the_labels():
    data, graph = samples((3,)), capture(network(nn.Linear(3, 2)), (3,))
    seen = []

    def metric(outputs: np.ndarray, labels: np.ndarray) -> float:
        seen.append((outputs, labels))
        return 1.0

    Measure(graph, data, metric).step("n", graph)
    expected = graph(torch.from_numpy(data.x_val)).detach().numpy()
    assert all(np.array_equal(labels, data.y_val) and np.allclose(outputs, expected) for outputs, labels in seen)
    assert len(seen) == 3  # what the original is worth, and a step on validation and on test samples


def test_integers_are_evaluated_in_double_precision_and_nothing_else_is(monkeypatch):
    data = samples((3,))
    made = compress(network(nn.Linear(3, 2)), data, "log2:4", NONE)
    plain = capture(network(nn.Linear(3, 2)), (3,))
    kinds = []
    evaluate = measures.evaluate

    def seen(graph, x, dtype):
        kinds.append(dtype)
        return evaluate(graph, x, dtype)

    measure = Measure(plain, data, test=False)
    monkeypatch.setattr(measures, "evaluate", seen)
    measure.step("float", plain)
    measure.step("integers", made.graph)
    assert kinds == [torch.float32, torch.float64]


def test_no_weight_of_a_student_stands_for_one_of_the_originals():
    data, graph = samples((3,)), capture(network(nn.Linear(3, 2)), (3,))
    measure = Measure(graph, data)
    student = measure.copy()
    assert measure.step("same", student).weight_ber == 0
    student.meta["student"] = True
    assert measure.step("student", student).weight_ber is None


def test_the_bits_of_float_outputs_are_counted_as_float32_holds_them():
    ours, theirs = np.array([[1.0, 0.5]]), np.array([[-1.0, 0.5]])
    assert outcomes.output_ber(ours, theirs, None) == 1 / 64
    form = FixedPoint(True, 4, 1)
    assert outcomes.output_ber(ours, theirs, form) == (0b0010 ^ 0b1110).bit_count() / 8


# What is judged, and what is not.

def test_a_metric_of_ones_own_is_the_quality():
    data, graph = samples((3,)), capture(network(nn.Linear(3, 2)), (3,))
    step = Measure(graph, data, lambda outputs, labels: 7.5).step("n", graph)
    assert step.quality == step.metric == step.reported == 7.5


def test_values_have_no_class_to_disagree_about():
    data = samples((3,))
    values = np.stack([data.y_train, -data.y_train], axis=1).astype(np.float32)
    data = Data.of(data.x_train, values, data.x_train, values, "values", x_val=data.x_train, y_val=values)
    graph = capture(network(nn.Linear(3, 2)), (3,))
    assert Measure(graph, data).step("n", graph).disagreement is None


def test_what_was_not_measured_is_none_or_nothing():
    defaults = {f.name: f.default for kind in (Drop, Step, Row) for f in fields(kind)}
    assert defaults["low"] is defaults["high"] is defaults["artifact"] is None and defaults["non_zero_weights"] == 0


def test_a_model_with_one_output_that_is_no_number_is_refused():
    model = network(nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight[1] = 3e38  # their sums overflow
    found = samples((3,))
    data = Data.of(100 * found.x_train, found.y_train, 100 * found.x_test, found.y_test)
    with pytest.raises(InputError, match="the model's outputs are not finite"):
        compress(model, data, "log2:4", NONE)


@pytest.mark.parametrize("name", ["qat_epochs", "finetune_epochs"])
def test_a_hundred_thousand_epochs_are_the_most(name: str):
    assert getattr(Settings(**{name: 100_000}), name) == 100_000
    with pytest.raises(InputError, match=f"{name} is 100001, outside 0..100000"):
        Settings(**{name: 100_001})


def test_newcombes_correction_takes_the_least_correlation_away():
    """One sample right in both and one in neither: the product's difference, 1, less half of the samples, is 0."""
    low, high = paired(1, 0, 0, 1)
    reach = math.hypot(0.5 - wilson(1, 2)[0], wilson(1, 2)[1] - 0.5)
    assert (low, high) == (pytest.approx(-reach), pytest.approx(reach))


@pytest.mark.parametrize("right, count", [(0, 1), (0, 7), (0, 450), (1, 1), (7, 7), (450, 450)])
def test_a_share_of_none_or_of_all_is_its_own_bound(right: int, count: int):
    low, high = wilson(right, count)
    assert (low == 0.0) == (right == 0) and (high == 1.0) == (right == count)


def test_a_baseline_says_for_how_many_epochs_it_was_trained():
    found = Baselines(network(nn.Linear(6, 2)), samples((6,)), NONE)
    assert (found.trained(3).step.epochs, found.trained(3).step.name) == (3, "original, 3 more epochs")


def test_without_labels_a_baseline_is_the_original_unless_a_loss_says_what_to_learn():
    x = samples((6,)).x_train
    data, steps = Data.of(x, None, x, x_val=x), []

    def loss(outputs, targets):
        steps.append(outputs.shape)
        return ((outputs - targets) ** 2).mean() + outputs.square().mean()

    still = Baselines(network(nn.Linear(6, 2)), data, NONE)
    assert still.trained(2).step.disagreement == 0.0 and still.trained(2).step.output_ber == 0.0
    taught = Baselines(network(nn.Linear(6, 2)), data, replace(NONE, loss=loss))
    assert taught.trained(2).step.output_ber > 0 and steps


# Artifacts.

@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory):
    """(folder, sweep) of a small network, one scheme of which cannot be carried out."""
    folder = tmp_path_factory.mktemp("rows")
    found = sweep(network(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), samples((6,)),
                  [("log2", "log2:4"), ("+++", "minifloat:E4M3"), ("too small", "distill:0.01")],
                  Settings(qat_epochs=3, finetune_epochs=2), folder)
    return folder, found


def test_a_row_before_training_had_no_epochs_and_one_after_it_all(rows):
    steps = {row.name: row.step for row in rows[1].good}
    assert (steps["log2"].epochs, steps["log2+qat"].epochs) == (0, 3)


def test_a_rows_file_is_named_after_it_as_far_as_a_name_is_there(rows):
    files = {row.name: row.artifact for row in rows[1].good}
    assert files["log2"] == "log2.json" and files["+++"] == "row.json"


def test_the_design_of_a_row_has_the_networks_name(rows):
    assert load(rows[0] / "log2.json").design.name == "network"
    folder = rows[0] / "named"
    folder.mkdir()
    sweep(network(nn.Linear(6, 2)), samples((6,)), [("a", "log2:4")], NONE, folder, trained=False, name="mine")
    assert load(folder / "a.json").design.name == "mine"


def test_a_row_that_cannot_be_carried_out_says_its_scheme_and_why(rows):
    failed = [row for row in rows[1].rows if row.name == "too small"]
    assert failed[0].step is None and failed[0].scheme == "distill:0.01"
    assert failed[0].error and failed[0].artifact is None


def test_damaged_weights_of_an_artifact_are_said_to_be_the_weights(rows, tmp_path: Path):
    manifest = json.loads((rows[0] / "row.json").read_text())
    (tmp_path / "row.json").write_text(json.dumps(manifest))
    with zipfile.ZipFile(tmp_path / manifest["arrays"], "w") as archive:
        archive.writestr("a.npy", b"nothing")
    with pytest.raises(InputError, match="the weights '"):
        load(tmp_path / "row.json")


def test_weights_that_unpack_to_more_than_a_network_may_have_are_refused(rows, tmp_path: Path):
    manifest = json.loads((rows[0] / "row.json").read_text())
    (tmp_path / "row.json").write_text(json.dumps(manifest))
    np.savez_compressed(tmp_path / manifest["arrays"], a=np.zeros((1 << 23) + (1 << 20), np.uint8))
    with pytest.raises(InputError, match="unpacks to"):
        load(tmp_path / "row.json")


def test_an_artifact_of_another_schema_is_refused(rows, tmp_path: Path):
    manifest = json.loads((rows[0] / "row.json").read_text())
    (tmp_path / "row.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(InputError, match="is not an artifact of schema 1"):
        load(tmp_path / "row.json")


def test_an_artifact_of_samples_of_two_axes_without_a_layer_of_images_takes_them_in_pytorchs_order(tmp_path: Path):
    data = samples((2, 3))
    found = sweep(network(nn.Flatten(), nn.Linear(6, 2)), data, [("a", "int:8")], NONE, tmp_path, trained=False)
    artifact = load(tmp_path / "a.json")
    assert artifact.accuracy(data) == found.rows[0].step.accuracy
    design = artifact.design
    flat = design.reference(design.input.quantise(data.x_test)).reshape(len(data.x_test), -1)
    assert np.array_equal(artifact.outputs(data.x_test), design.output.format.value(flat))


def test_an_artifact_has_no_accuracy_without_labels(tmp_path: Path):
    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            return self.layer(x).argmax(1)

    data = samples((6,))
    sweep(Chosen().eval(), data, [("a", "log2:4")], NONE, tmp_path, trained=False)
    artifact = load(tmp_path / "a.json")
    assert artifact.accuracy(data) is not None
    assert artifact.accuracy(Data.of(data.x_train, None, data.x_test)) is None


# Choices.

def test_two_rows_have_a_rank():
    assert choices._rank([(1.0, 5.0), (2.0, 7.0)]) == pytest.approx(1.0)
    assert choices._rank([(1.0, 7.0), (2.0, 5.0)]) == pytest.approx(-1.0)
    assert choices._rank([(1.0, 7.0), (1.0, 5.0)]) == 0.0


def test_a_search_judges_bits_by_their_accuracy_and_needs_a_metric_for_values(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    bits = (x[:, :2] > 0).astype(np.float32)
    model = network(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    quick = Settings(qat_epochs=1, finetune_epochs=1)
    data = Data.of(x, bits, x, bits, "bits", x_val=x, y_val=bits)
    found = searching.search(model, data, f"sqlite:///{tmp_path}/bits.db", trials=1, settings=quick)
    assert 0 <= found[0].accuracy <= 1
    data = Data.of(x, x[:, :2], x, x[:, :2], "values", x_val=x, y_val=x[:, :2])
    with pytest.raises(InputError, match="a search needs labels that are classes or bits"):
        searching.search(model, data, f"sqlite:///{tmp_path}/values.db", trials=1, settings=quick)


def test_a_trial_is_trained_for_the_few_epochs_of_a_proxy(tmp_path: Path):
    model = network(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    long = Settings(qat_epochs=40, finetune_epochs=60)
    found = searching.search(model, samples((6,)), f"sqlite:///{tmp_path}/s.db", trials=2, settings=long)
    assert all(0 < trial.epochs <= sum(searching.PROXY.values()) for trial in found)


def test_a_storage_that_answers_no_more_says_that_the_trials_are_kept(tmp_path: Path, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def gone(*_):
        raise OperationalError("SELECT", {}, Exception("server is gone"))

    monkeypatch.setattr(searching, "_work", gone)
    with pytest.raises(InputError, match=r"answers no more: .*its finished trials are kept"):
        searching.search(network(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), samples((6,)),
                         f"sqlite:///{tmp_path}/s.db", trials=1, settings=NONE)
