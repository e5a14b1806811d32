"""Every compression technique does what its definition says, and every artifact gives back what its row says."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import QUICK, Branches, blobs, linears, made, plain
from torch import nn

from toolkit.api import compress_all
from toolkit.capture import capture
from toolkit.compress import Data, Settings, baseline, compress
from toolkit.compress.artifact import load
from toolkit.compress.matmul import Matmul
from toolkit.compress.pruning.unstructured import at_random, magnitude, n_of_m
from toolkit.compress.quantisation.fake_quant import DynamicLayer
from toolkit.compress.quantisation.minifloat import KINDS, Minifloat
from toolkit.compress.scheme import Overrides, Scheme
from toolkit.compress.steps import Structured
from toolkit.compress.sweep import COMBINATIONS, DEFAULT, REFERENCE, category, sweep
from toolkit.report import sweep as report
from toolkit.utils.errors import InputError


@given(st.floats(0.05, 0.7), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_global_magnitude_zeroes_the_smallest_weights_of_the_whole_network(ratio, seed):
    graph = capture(plain(6, 12, 4, seed=seed), (6,))
    before = torch.cat([m.weight.detach().abs().reshape(-1) for m in linears(graph)])
    after = torch.cat([m.weight.detach().abs().reshape(-1) for m in linears(magnitude(graph, ratio, "global", set()))])
    gone = after == 0
    assert int(gone.sum()) == round(ratio * len(before))
    assert float(before[gone].max()) <= float(before[~gone].min())


def test_magnitude_per_layer_takes_its_share_of_each_layer():
    graph = capture(plain(6, 12, 4), (6,))
    assert [int((m.weight == 0).sum()) for m in linears(magnitude(graph, 0.25, "layer", set()))] == [18, 12]


def test_random_pruning_is_repeatable_by_its_seed():
    graph = capture(plain(6, 12, 4), (6,))
    first, second, other = (linears(at_random(graph, 0.5, seed, set()))[0].weight == 0 for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert int(first.sum()) == 36


@pytest.mark.parametrize("n, m", [(2, 4), (1, 3), (1, 2), (3, 8)])
def test_n_of_m_keeps_the_largest_n_of_every_m(n, m):
    graph = capture(plain(10, 12, 4), (10,))
    before, after = linears(graph)[0].weight.detach(), linears(n_of_m(graph, n, m, set()))[0].weight.detach()
    for start in range(0, 10 - 10 % m, m):
        group, kept = before[:, start:start + m].abs(), after[:, start:start + m] != 0
        assert (kept.sum(dim=1) == n).all()
        assert (torch.where(kept, group, torch.inf).amin(1) >= torch.where(kept, 0.0, group).amax(1)).all()


def test_pruned_weights_stay_zero_through_training_and_quantisation():
    found = compress(made(), blobs(), "magnitude:0.6+log2:4", Settings(qat_epochs=3, finetune_epochs=3))
    assert found.steps[1].non_zeros == found.steps[2].non_zeros
    assert found.steps[-1].non_zeros <= found.steps[1].non_zeros
    assert found.design is not None


def test_a_gradual_schedule_ends_at_its_ratio():
    found = compress(plain(6, 20, 4), blobs(), "magnitude:0.5,steps=4", Settings(finetune_epochs=4))
    weights = 6 * 20 + 20 * 4
    assert found.steps[-1].non_zeros == weights // 2 + 24
    cut = compress(plain(6, 20, 4), blobs(), "structured:0.5,steps=3", Settings(finetune_epochs=3))
    assert [tuple(m.weight.shape) for m in linears(cut.graph)] == [(10, 6), (4, 10)]


@pytest.mark.parametrize("name", KINDS)
def test_a_minifloat_is_what_ml_dtypes_casts_to(name):
    form = Minifloat(name)
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 2.0**e, 300) for e in range(-12, 10)]).astype(np.float32)
    limited = np.clip(values, -form.max, form.max)
    expected = limited.astype(KINDS[name]).astype(np.float32)
    assert (form.project(torch.from_numpy(values), 0).numpy() == expected).all()


@pytest.mark.parametrize("name", KINDS)
def test_minifloat_codes_give_their_values_back(name):
    form = Minifloat(name)
    values = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, 500).astype(np.float32))
    scale = form.scale(values)
    grid = form.project(values, scale).numpy()
    assert (form.values(form.codes(grid, scale), scale) == grid).all()
    assert form.codes(grid, scale).max() < 256 and float(np.abs(grid).max()) <= form.max * 2.0**scale


def test_subnormals_are_kept_and_large_values_saturate():
    form = Minifloat("E4M3")
    smallest = float(ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).smallest_subnormal)
    assert form.project(torch.tensor([smallest, smallest / 4, 1e9, -1e9]), 0).tolist() == [smallest, 0.0, 448.0, -448.0]


def test_dynamic_int8_does_not_depend_on_the_batch():
    layer = DynamicLayer(Matmul(), torch.randn(5, 7), torch.randn(5))
    x = torch.randn(40, 7) * torch.logspace(-3, 3, 40)[:, None]
    whole = layer.rounded(x)
    assert all(torch.equal(whole[i:i + 1], layer.rounded(x[i:i + 1])) for i in range(40))
    assert all(len(row.unique()) <= 256 for row in whole)


def test_dynamic_int8_weights_are_integers_times_a_scale():
    layer = DynamicLayer(Matmul(), torch.randn(5, 7), torch.zeros(5))
    codes = layer.arrays()["codes"]
    assert codes.dtype == np.int8 and np.abs(codes).max() == 127
    assert (codes.astype(np.float32) * np.float32(layer.scale) == layer.quantised_weight().detach().numpy()).all()


def test_a_student_learns_from_the_teacher_and_has_no_weight_ber():
    found = compress(plain(6, 40, 4), blobs(), "distill:0.21,temperature=2,mix=0.8", Settings(finetune_epochs=30))
    assert found.steps[-1].weight_ber is None and found.steps[-1].parameters == 6 * 8 + 8 + 8 * 4 + 4
    assert found.steps[-1].disagreement is not None and found.steps[-1].disagreement < 0.5


@pytest.mark.parametrize("dead", [(0, 1, 2, 3), (1, 3, 5, 7), (0, 3, 4, 6)])
def test_an_importance_by_loss_removes_the_neurons_that_the_loss_does_not_feel(dead):
    """Neurons that never fire change no output, however large their weights, which l1 and l2 would keep them for."""
    model = plain(6, 8, 4)
    with torch.no_grad():
        for neuron in dead:
            model[0].weight[neuron] *= 50
            model[0].bias[neuron] = -1e4
            model[2].weight[:, neuron] *= 50
    live = [i for i in range(8) if i not in dead]
    found = compress(model, blobs(), "structured:0.5,importance=taylor", Settings(qat_epochs=0, finetune_epochs=0))
    assert torch.equal(linears(found.graph)[0].weight, model[0].weight[live])
    by_size = compress(model, blobs(), "structured:0.5,importance=l2", Settings(qat_epochs=0, finetune_epochs=0))
    assert torch.equal(linears(by_size.graph)[0].weight, model[0].weight[list(dead)])


def test_an_importance_by_loss_needs_labels():
    with pytest.raises(InputError, match=r"taylor.*needs labels.*l2"):
        compress(made(), Data.of(blobs().x_train), "structured:0.5,importance=taylor", QUICK)


def test_one_layer_can_have_a_format_of_its_own():
    rules = Overrides.parse(["c=log2:6", "b=int:5"])
    found = compress(made(), blobs(), "log2:3", Settings(qat_epochs=1, overrides=rules))
    assert found.design is not None
    assert {layer.name: str(layer.weights.format) for layer in found.design.layers if layer.kind == "dense"} == {
        "a": "log2:3", "b": "int:5", "c": "log2:6"}


def test_one_layer_can_have_activations_of_its_own():
    rules = Overrides.parse(["a=act:5", "b*=act:3"])
    found = compress(made(), blobs(), "log2:4", Settings(qat_epochs=1, overrides=rules))
    widths = {layer.name: layer.requantise.format.width for layer in found.design.layers  # type: ignore[union-attr]
              if hasattr(layer, "requantise")}
    assert widths == {"a": 5, "b": 3, "add": 8, "relu": 8, "c": 16}


def test_a_layer_that_is_kept_is_not_pruned():
    rules = Overrides.parse(["0=keep"])
    found = compress(plain(6, 12, 8, 4), blobs(), "structured:0.5", Settings(finetune_epochs=0, overrides=rules))
    assert [tuple(m.weight.shape) for m in linears(found.graph)] == [(12, 6), (4, 12), (4, 4)]
    found = compress(made(), blobs(), "magnitude:0.5", Settings(finetune_epochs=0,
                                                                overrides=Overrides.parse(["a=keep"])))
    assert bool(found.graph.get_submodule("a").weight.all())


def test_one_layer_can_have_a_ratio_of_its_own():
    rules = Overrides.parse(["0=structured:0.75", "2=log2:6", "2=structured:0.25"])
    untrained = Settings(qat_epochs=0, finetune_epochs=0, overrides=rules)
    found = compress(plain(6, 12, 8, 4), blobs(), "structured:0.5+log2:3", untrained)
    assert found.design is not None
    assert [(d.weights.codes.shape, str(d.weights.format)) for d in found.design.layers] == [
        ((3, 6), "log2:3"), ((6, 3), "log2:6"), ((4, 6), "log2:3")]


@pytest.mark.parametrize("text", ["nothing", "=log2:4", "a=", "a=magnitude:0.5", "a=act:99", "zzz=log2:4"])
def test_a_setting_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError):
        compress(made(), blobs(), "log2:4", Settings(overrides=Overrides.parse([text])))


@pytest.mark.parametrize("option", ["scale=tensor", "domain=log"])
def test_scale_and_domain_are_as_asked(option):
    found = compress(made(), blobs(), f"log2:4,{option}", Settings(qat_epochs=0, rounding="nearest"))
    layer = found.design.layers[0]  # type: ignore[union-attr]
    if option == "scale=tensor":
        assert len(set(layer.weights.exponents.tolist())) == 1
    else:
        w = capture(made(), (6,)).get_submodule("a").weight.detach().numpy()
        got = layer.weights.values()
        inside = (got != 0) & (np.abs(got) < 2.0 ** layer.weights.exponents[:, None].astype(float))
        ratio = np.abs(w / np.where(got == 0, 1, got))[inside]
        assert (ratio >= 2**-0.5 - 1e-6).all() and (ratio <= 2**0.5 + 1e-6).all()


def test_labels_that_are_bits_are_measured_as_bits():
    data = blobs()
    train, test = (np.stack([y & 1, y >> 1, y > 0], 1) for y in (data.y_train, data.y_test))
    found = compress(plain(6, 16, 3), Data.of(data.x_train, train, data.x_test, test), "log2:4", QUICK)
    assert found.data.task == "bits" and found.steps[-1].accuracy is not None


def test_a_loss_and_a_training_loop_of_ones_own_are_used():
    seen = []

    def loss(outputs, targets):
        seen.append("loss")
        return nn.functional.cross_entropy(outputs, targets)

    def trainer(graph, data, epochs):
        seen.append(epochs)

    compress(plain(6, 8, 4), blobs(), "log2:4", Settings(qat_epochs=1, loss=loss))
    compress(plain(6, 8, 4), blobs(), "log2:4", Settings(qat_epochs=7, trainer=trainer))
    assert "loss" in seen and seen[-1] == 7


SCHEMES = ["magnitude:0.5", "random:0.3", "structured:0.4", "nm:2:4", "dynamic:int8", "int:6", "log2:4", "log2x2:4",
           *(f"minifloat:{kind}" for kind in KINDS), "distill:0.5", "distill:0.5+magnitude:0.5+log2:3",
           "structured:0.3+minifloat:E4M3", "structured:0.4,steps=2+nm:1:2+log2x2:5"]


@pytest.fixture(scope="module", params=["classes", "argmax"])
def tried(request, tmp_path_factory):
    """A sweep over every technique."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    data = blobs()
    model = made(lambda: Branches(request.param == "argmax"))
    return out, data, compress_all(model, data, out, schemes=SCHEMES, reference=False, settings=QUICK)


def test_every_row_is_a_thing_that_gives_the_rows_accuracy(tried):
    out, data, found = tried
    assert len(found.good) == len(found.rows) > len(SCHEMES)
    for row in found.rows:
        assert load(out / "rows" / row.artifact).accuracy(data) == row.step.accuracy, row.name


def test_a_model_too_small_for_a_default_student_fails_no_sweep_but_a_chosen_one_does(tmp_path: Path):
    schemes = [("student_0.05", "distill:0.05"), ("mine", "distill:0.05")]
    found = sweep(plain(6, 6, 4), blobs(), schemes, QUICK, tmp_path)
    assert [row.possible for row in found.rows] == [False, True] and [row.name for row in found.failed] == ["mine"]
    assert all("choose distill:" in row.error for row in found.rows)
    told = report.text(found)
    assert "student_0.05: not possible: " in told and "mine: FAILED: " in told


def test_rows_that_hardware_can_be_made_of_have_a_design(tried):
    out, _, found = tried
    for row in found.rows:
        assert row.hardware == ("log2" in row.scheme or "int:6" in row.scheme)
        assert row.hardware == (out / "rows" / row.artifact).with_suffix(".swd").is_file()


def test_the_report_has_every_section_and_every_row(tried):
    _, _, found = tried
    text = report.text(found)
    for heading in ("ORIGINAL MODEL", "BEST RESULTS PER CATEGORY", "PRUNING TECHNIQUES", "QUANTIZATION TECHNIQUES",
                    "KNOWLEDGE DISTILLATION", "COMBINATIONS", "BER ANALYSIS", "PARETO SET", "RECOMMENDATIONS"):
        assert heading in text
    assert all(row.name in text for row in found.rows)
    assert len(report.to_csv(found).splitlines()) == len(found.rows) + 1


def test_no_row_of_the_pareto_set_is_beaten(tried):
    _, _, found = tried
    front = set(report.to_json(found)["pareto"])
    for row in found.rows:
        beaten = any(o.step.size <= row.step.size and o.step.quality >= row.step.quality
                     and (o.step.size, o.step.quality) != (row.step.size, row.step.quality) for o in found.rows)
        assert (row.name in front) == (not beaten)


def test_a_row_that_fails_does_not_lose_the_others(tmp_path):
    found = compress_all(plain(6, 8, 4), blobs(), tmp_path / "o", schemes=["distill:0.05", "log2:4"], reference=False,
                         settings=QUICK)
    assert [row.error is None for row in found.rows] == [False, True, True]
    assert "FAILED" in (tmp_path / "o" / "report.txt").read_text()


def test_the_reference_sweep_has_its_22_rows():
    assert len(REFERENCE) == 22
    assert {"magnitude_0.1", "dynamic_int8", "log2_4bit", "minifloat_E3M4", "student_0.05"} <= set(REFERENCE)
    assert all(len(Scheme.parse(text).steps) == 1 for text in REFERENCE.values())


def test_the_default_sweep_combines_what_the_reference_recommends_to_combine():
    kinds = {tuple(type(step).__name__ for step in Scheme.parse(text).steps) for text in COMBINATIONS.values()}
    assert kinds == {(first, last) for first in ("Magnitude", "Structured", "Distill")
                     for last in ("Quantise", "Coded")}
    steps = [step for text in COMBINATIONS.values() for step in Scheme.parse(text).steps]
    assert [step.steps for step in steps if isinstance(step, Structured)] == [1, 1, 5, 5]
    assert list(DEFAULT.items()) == [*REFERENCE.items(), *COMBINATIONS.items()]
    assert {category(Scheme.parse(text)) for text in COMBINATIONS.values()} == {"combination"}


def test_a_sweep_that_nobody_chose_has_every_row_and_students_alone(tmp_path):
    """Every step replaced by nothing that takes long: the rows' names and categories are what counts."""
    found = compress_all(plain(6, 60, 30, 4), blobs(count=80), tmp_path / "o", settings=QUICK)
    names = {row.name for row in found.rows}
    students = {f"student_{share}" for share in (0.25, 0.1, 0.05)}
    assert set(DEFAULT) <= names and {name for name in DEFAULT if f"{name}_no_teacher" in names} <= students
    assert {row.name for row in found.rows if row.name.startswith("student") and row.error is None} >= {
        "student_0.25", "student_0.25_no_teacher", "student_0.1+log2_4bit"}
    assert "COMBINATIONS" in report.text(found)
    assert report.to_json(found)["best"]["combination"] in COMBINATIONS


def test_a_student_alone_differs_from_the_student_in_its_teacher_only(tmp_path, monkeypatch):
    """Same seed, shape, first weights and number of epochs in a round; nothing of the teacher in its loss."""
    seen = []
    real = baseline.train

    def spy(model, data, **options):
        seen.append((float(sum(p.detach().abs().sum() for p in model.parameters())), options["seed"],
                     options["epochs"], options["loss"]))
        return real(model, data, **options)

    monkeypatch.setattr(baseline, "train", spy)
    found = compress_all(plain(6, 40, 4), blobs(), tmp_path / "o", schemes=["distill:0.3"], reference=False,
                         settings=Settings(qat_epochs=1, finetune_epochs=2))
    assert [(row.name, row.scheme, row.category) for row in found.rows] == [
        ("distill:0.3", "distill:0.3", "distillation"), ("distill:0.3_no_teacher", "distill:0.3,mix=0", "distillation")]
    assert found.rows[0].step.parameters == found.rows[1].step.parameters
    firsts = [one for one in seen if one[0] == seen[0][0]]
    assert len(firsts) == 2 and firsts[0][1:3] == firsts[1][1:3]
    outputs, labels = torch.randn(5, 4), torch.arange(5) % 4
    hard = nn.functional.cross_entropy(outputs, labels)
    values = [one[3](outputs, labels, torch.randn(5, 4)) for one in firsts]
    assert not torch.isclose(values[0], hard) and torch.isclose(values[1], hard)


def test_a_student_alone_needs_labels():
    with pytest.raises(InputError, match="needs labels"):
        compress(plain(6, 40, 4), Data.of(blobs().x_train), "distill:0.3,mix=0", QUICK)


@pytest.mark.parametrize("change", [{"schema": 9}, {"arrays": "../x.npz"}, {"arrays": "none.npz"},
                                    {"graph": [{"name": "x", "op": "evil", "inputs": []}]},
                                    {"graph": [{"name": "x y", "op": "input", "inputs": []}]}, {"graph": 3}])
def test_an_artifact_that_is_not_ours_is_refused(tmp_path, change):
    compress_all(plain(6, 8, 4), blobs(), tmp_path / "o", schemes=["minifloat:E4M3"], reference=False, settings=QUICK)
    path = tmp_path / "o" / "rows" / "minifloat_e4m3.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError):
        load(path)


@pytest.mark.parametrize("text, word", [
    ("magnitude:0", "between 0 and 1"), ("magnitude:1", "between"), ("random:-0.5", "between"),
    ("random:nan", "number"),
    ("nm:4:2", "outside"), ("nm:2", "whole"), ("minifloat:E9M9", "E4M3"), ("dynamic:int4", "int8"),
    ("distill:0.5,temperature=0", "temperature"), ("distill:0.5,mix=2", "mix"), ("magnitude:0.5,scope=x", "scope"),
    ("magnitude:0.5+minifloat:E4M3+log2:4", "last"), ("structured:0.5+wrong", "character 16")])
def test_a_wrong_scheme_says_where_and_what_would_be_right(text, word):
    with pytest.raises(InputError, match=word):
        Scheme.parse(text)


@pytest.mark.parametrize("text", ["magnitude:0.5,scope=layer,steps=3", "random:0.5", "nm:2:4", "minifloat:E3M4",
                                  "dynamic:int8", "distill:0.25,temperature=2,mix=0.5",
                                  "log2:4,scale=tensor,domain=log"])
def test_a_step_prints_as_it_was_written(text):
    assert str(Scheme.parse(text)) == text
