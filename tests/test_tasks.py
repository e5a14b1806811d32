"""Classification, regression, bits; a metric, a loss and a training loop of the caller's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import TRAINING, refused, run
from small_models import QUICK, blobs, linears, plain
from torch import nn

from toolkit.api import compress_all
from toolkit.commands.exported import save_pt2
from toolkit.compress import Data, Settings, compress
from toolkit.compress.artifact import load
from toolkit.report import sweep as report
from toolkit.utils.entry_points import function
from toolkit.utils.errors import InputError

HOOKS = '''
import torch

def top_two(outputs, y):
    return float((outputs.argsort(1)[:, -2:] == y[:, None]).any(1).mean())

def smooth(outputs, targets):
    return torch.nn.functional.cross_entropy(outputs, targets, label_smoothing=0.1)

def loop(graph, data, epochs):
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.add_(0.01)
    with open("trained.txt", "a") as file:
        print(epochs, file=file)

def wrong(outputs, y):
    raise ZeroDivisionError("half of nothing")

NUMBER = 3
'''


def waves(count: int = 400) -> Data:
    """Two smooth functions of three inputs."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
    y = np.stack([np.sin(2 * x[:, 0]) + x[:, 1], x[:, 1] * x[:, 2]], 1)
    half = count // 2
    return Data.of(x[:half], y[:half], x[half:], y[half:])


def received(count: int = 600) -> Data:
    """Four bits sent over six noisy mixtures of them."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (count, 4))
    x = ((2 * bits - 1) @ rng.normal(0, 1, (4, 6)) + rng.normal(0, 0.3, (count, 6))).astype(np.float32)
    half = count // 2
    return Data.of(x[:half], bits[:half], x[half:], bits[half:])


def test_regression_learns_and_is_measured_by_its_error():
    steps = compress(plain(3, 32, 2), waves(), "structured:0.25+log2x2:5", Settings(qat_epochs=20,
                                                                                    finetune_epochs=40)).steps
    assert steps[-1].error < 0.5 * steps[0].error  # type: ignore[operator]
    assert steps[-1].accuracy is None and steps[-1].task_ber is None and steps[-1].disagreement is None


def test_bits_are_decided_against_those_that_were_sent():
    data = received()
    found = compress(plain(6, 16, 4), data, "log2:4", Settings(qat_epochs=60, lr=1e-2))
    last = found.steps[-1]
    outputs = found.design.reference(found.test_codes)  # type: ignore[union-attr]
    assert last.task_ber == ((outputs > 0) != (data.y_test == 1)).mean()
    assert last.task_ber < 0.1 < found.steps[0].task_ber and last.accuracy == pytest.approx(1 - last.task_ber)


def test_the_reports_of_bits_and_of_values_name_what_they_measure(tmp_path: Path):
    for name, data, words in (("bits", received(), ("task BER [%]", "Bit accuracy", "1 % of the bits")),
                              ("values", waves(), ("validation RMS error", "standard deviation"))):
        model = plain(data.sample_shape[0], 8, 4 if name == "bits" else 2)
        found = compress_all(model, data, tmp_path / name, schemes=["log2:3"], reference=False, settings=QUICK)
        text = report.text(found)
        assert all(word in text for word in words)
        step = found.rows[-1].step
        assert step is not None and (step.task_ber is not None) == (name == "bits")


def test_a_row_of_bits_gives_its_task_ber_again_and_a_row_of_values_its_error(tmp_path: Path):
    for name, data in (("bits", received()), ("values", waves())):
        model = plain(data.sample_shape[0], 8, 4 if name == "bits" else 2)
        found = compress_all(model, data, tmp_path / name, reference=False, settings=QUICK,
                             schemes=["log2:4", "minifloat:E4M3", "dynamic:int8", "magnitude:0.5"])
        for row in found.rows:
            artifact = load(tmp_path / name / "rows" / row.artifact)
            assert artifact.measured(data) == {key: artifact.manifest[key] for key in ("accuracy", "task_ber", "error")}


@pytest.mark.parametrize("labels, task", [
    (np.array([0, 1, 2, 1]), "classes"), (np.array([0.0, 1.0, 2.0, 1.0]), "classes"),
    (np.array([[0], [1], [2], [1]]), "classes"), (np.eye(4), "classes"), (np.array([[0, 1], [1, 1], [0, 0], [1, 0]]),
                                                                         "bits"),
    (np.array([0.5, 1.0, 2.0, 1.0]), "values"), (np.array([[0.0, 2.0]] * 4), "values"),
    (np.array([-1.0, 1.0, 2.0, 1.0]), "values")])
def test_labels_are_taken_by_their_looks(labels, task):
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert Data.of(x, labels, x, labels).task == task


def test_a_task_that_is_named_overrides_the_looks():
    x, y = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 1, 1, 0])
    found = {task: Data.of(x, y, x, y, task).y_test for task in ("classes", "bits", "values")}
    assert {task: (labels.dtype.name, labels.shape) for task, labels in found.items()} == {
        "classes": ("int64", (4,)), "bits": ("uint8", (4, 1)), "values": ("float32", (4, 1))}


@pytest.mark.parametrize("labels, task, word", [
    (np.array([0, 1, 2, 1]), "bits", "not a bit"), (np.array([0.5, 1, 1, 0]), "classes", "--task values"),
    (np.array([[1, 1], [0, 1], [1, 0], [1, 1]]), "classes", "single 1"), (np.array([0, 1, 1, 0]), "poetry", "poetry")])
def test_labels_that_do_not_fit_the_task_are_refused(labels, task, word):
    x = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(InputError, match=word):
        Data.of(x, labels, x, labels, task)


def test_a_class_that_is_missing_from_the_training_data_is_refused_by_name():
    data = blobs()
    keep = ~np.isin(data.y_train, (1, 3))
    with pytest.raises(InputError, match=r"no sample of the classes 1, 3"):
        Data.of(data.x_train[keep], data.y_train[keep], data.x_test, data.y_test)  # type: ignore[index]


def test_calibration_sees_every_class_even_where_the_data_are_sorted():
    y = np.repeat([0, 1, 2, 3], [900, 90, 9, 1])
    x = np.arange(1000, dtype=np.float32)[:, None] * np.array([[1, -1]], np.float32)
    data = Data.of(x, y, x, y)
    chosen = data.calibration(50)
    assert set(y[chosen[:, 0].astype(int)]) == {0, 1, 2, 3} and len(chosen) <= 54
    assert len(Data.of(x).calibration(50)) == 50 and len(data.calibration(5000)) == 800


def test_a_metric_of_ones_own_judges_the_rows(tmp_path: Path):
    def wins(outputs, y):
        return 10.0 * float((outputs.argmax(1) == y).mean())

    found = compress_all(plain(6, 16, 4), blobs(), tmp_path / "o", schemes=["log2:4", "magnitude:0.5"],
                         reference=False, settings=Settings(qat_epochs=2, finetune_epochs=2, metric=wins))
    for row in found.rows:
        assert row.step is not None and row.step.metric == pytest.approx(10 * row.step.accuracy)
    text = (tmp_path / "o" / "report.txt").read_text()
    assert "Metric: " in text and "1 % of the original's metric" in text


def test_pruned_weights_stay_zero_whatever_the_callers_loop_does():
    def loop(graph, data, epochs):
        with torch.no_grad():
            for parameter in graph.parameters():
                parameter.add_(1.0)

    found = compress(plain(6, 12, 4), blobs(), "magnitude:0.5", Settings(finetune_epochs=1, trainer=loop))
    assert sum(int((m.weight == 0).sum()) for m in linears(found.graph)) == 60


def test_the_callers_loss_teaches_students_too():
    seen = []

    def loss(outputs, targets):
        seen.append(outputs.shape[1])
        return nn.functional.cross_entropy(outputs, targets)

    compress(plain(6, 8, 4), blobs(), "distill:0.5", Settings(finetune_epochs=1, loss=loss))
    assert seen


@pytest.mark.parametrize("own, word", [
    ({"metric": lambda o, y: "much"}, "must give a number"), ({"metric": lambda o, y: float("nan")}, "finite"),
    ({"metric": lambda o, y: 1 / 0}, "ZeroDivisionError"), ({"loss": lambda o, t: o}, "one number"),
    ({"loss": lambda o, t: 0.5}, "gives float"), ({"trainer": lambda g, d, e: g.nothing}, "AttributeError")])
def test_a_hook_that_fails_is_one_sentence_that_says_whose_it_is(own, word):
    with pytest.raises(InputError, match=word) as caught:
        compress(plain(6, 8, 4), blobs(), "log2:4", Settings(qat_epochs=1, **own))
    assert "\n" not in str(caught.value) and "<lambda>" in str(caught.value)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    save_pt2(plain(6, 10, 4), (6,), folder / "m.pt2")
    blobs().save(folder / "d.npz")
    (folder / "hooks_of_mine.py").write_text(HOOKS)
    return folder


def test_hooks_on_the_command_line_are_used(place: Path):
    done = run("compress", "m.pt2", "--data", "d.npz", "-o", "o", "--no-sweep", "--scheme", "log2:4", "--metric",
               "hooks_of_mine:top_two", "--loss", "hooks_of_mine:smooth", "--trainer", "hooks_of_mine:loop", *TRAINING,
               cwd=place)
    assert done.returncode == 0, done.stderr
    rows = json.loads((place / "o" / "report.json").read_text())["rows"]
    assert all(row["metric"] >= row["accuracy"] for row in rows)
    assert (place / "trained.txt").read_text() == "1\n1\n", "the network, then the baseline"


@pytest.mark.parametrize("option, word", [(["--loss", "no.such.module:f"], "cannot be imported"),
                                          (["--task", "poetry"], "poetry")])
def test_a_hook_that_is_not_there_is_refused_before_any_work(place: Path, option, word):
    done = run("compress", "m.pt2", "--data", "d.npz", "-o", "p", *option, *TRAINING, cwd=place)
    assert word in refused(done) and not (place / "p").exists()


def test_a_metric_that_fails_is_told_once_and_leaves_nothing(place: Path):
    done = run("compress", "m.pt2", "--data", "d.npz", "-o", "q", "--metric", "hooks_of_mine:wrong", cwd=place)
    assert "half of nothing" in refused(done) and not (place / "q").exists()


def test_a_function_is_found_by_its_name(place: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    assert function(None, "metric") is None
    assert function("hooks_of_mine:top_two", "metric")(np.eye(3), np.arange(3)) == 1.0  # type: ignore[misc]
    for text, word in (("hooks_of_mine:none", "has no 'none'"), ("hooks_of_mine:NUMBER", "int, not a function"),
                       ("nonsense", "package.module:name"), ("no.such:f", "cannot be imported")):
        with pytest.raises(InputError, match=word):
            function(text, "metric")
