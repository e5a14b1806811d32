"""Fair accuracies: three data sets that do not mix, a baseline trained as long, and differences with their interval."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from small_models import blobs, plain

from toolkit.api import Limits, compress_all, run_search
from toolkit.compress import Baselines, Data, Settings, baseline, compress
from toolkit.compress.training.loop import default_loss, evaluate, train, whole_loss
from toolkit.search.search import search
from toolkit.search.storage import STUDY
from toolkit.utils.errors import InputError

QUICK = Settings(qat_epochs=2, finetune_epochs=3)
SCHEME = "structured:0.4+log2:3"


def numbered(counts: tuple[int, ...], **options) -> Data:
    """Samples whose first feature is their number, sorted by class, so many of each."""
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.stack([np.arange(len(y)), np.ones(len(y)) * y + 0.5], 1)
    return Data.of(x, y, x, y, **options)


def numbers(x: np.ndarray) -> list[int]:
    return x[:, 0].astype(int).tolist()


# --- three data sets -------------------------------------------------------------------------------------------------

def test_a_fifth_of_the_training_samples_is_held_out_and_none_is_in_both():
    data = numbered((300, 100, 100))
    assert len(data.x_val) == 100 and len(data.x_train) == 400
    assert sorted(numbers(data.x_train) + numbers(data.x_val)) == list(range(500))
    assert numbers(data.x_train) == sorted(numbers(data.x_train)), "the training samples keep their order"


def test_the_labels_stay_with_their_samples():
    data = numbered((30, 50, 20))
    for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val)):
        assert (x[:, 1] == y + 0.5).all()


@pytest.mark.parametrize("counts", [(300, 100, 100), (97, 13, 41, 5), (900, 90, 9, 1)])
def test_every_class_is_held_out_by_its_share_and_stays_to_be_trained_on(counts):
    data = numbered(counts)
    held = np.bincount(data.y_val, minlength=len(counts))
    assert (np.abs(held - 0.2 * np.array(counts)) <= 1).all()
    assert (np.bincount(data.y_train, minlength=len(counts)) >= 1).all()


def test_the_split_depends_on_its_seed_and_on_nothing_else():
    one, same, other = (numbered((50, 50), seed=seed) for seed in (3, 3, 4))
    assert numbers(one.x_val) == numbers(same.x_val) != numbers(other.x_val)


def test_the_share_that_was_held_out_is_told():
    (note,) = numbered((60, 40)).notes
    assert "20 of 100 training samples (20 %" in note and "as many of each class as its share" in note


def test_no_more_than_ten_thousand_are_held_out():
    x = np.random.default_rng(0).normal(size=(60_000, 2))
    assert len(Data.of(x).x_val) == 10_000


def test_validation_samples_that_are_given_are_taken_and_nothing_is_held_out():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    y = np.arange(30) % 3
    data = Data.of(x[:20], y[:20], x[25:], y[25:], x_val=x[20:25], y_val=y[20:25])
    assert (data.x_train == x[:20]).all() and (data.x_val == x[20:25]).all() and (data.y_val == y[20:25]).all()
    assert data.notes == ()


def test_too_few_samples_are_not_split_and_a_note_says_so():
    data = Data.of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1]))
    assert len(data.x_train) == len(data.x_val) == 2
    assert any("2 training samples are too few" in note for note in data.notes)


def test_without_test_samples_the_held_out_ones_are_reported_on_never_the_training_samples():
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    data = Data.of(x, np.arange(50) % 2)
    assert data.x_test is data.x_val and data.y_test is data.y_val
    assert any("no test samples" in note for note in data.notes)


def test_without_labels_and_test_samples_all_that_were_given_are_measured_and_a_note_says_so():
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    data = Data.of(x)
    assert np.array_equal(data.x_test, x) and len(data.x_train) + len(data.x_val) == 50
    assert any("all the samples that were given" in note for note in data.notes)


@pytest.mark.parametrize(("change", "word"), [
    ({"x_val": np.ones((4, 5))}, "x_val of"), ({"x_val": np.full((4, 2), np.nan)}, "x_val holds NaN"),
    ({"x_val": None}, "no x_val"), ({"y_val": None}, "x_val has no labels"), ({"y_val": np.arange(3)}, "y_val"),
    ({"y_val": np.array([0, 1, 0, 7])}, "class 7, which y_val holds")])
def test_validation_samples_that_do_not_fit_are_one_sentence(change, word):
    x = np.random.default_rng(0).normal(size=(20, 2))
    given = {"x_val": x[:4], "y_val": np.arange(4) % 2} | change
    with pytest.raises(InputError, match=word) as caught:
        Data.of(x, np.arange(20) % 2, **given)
    assert "\n" not in str(caught.value)


def test_a_data_file_keeps_its_three_parts(tmp_path: Path):
    data = numbered((60, 40))
    data.save(tmp_path / "d.npz")
    again = Data.load(tmp_path / "d.npz")
    for key in ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"):
        assert np.array_equal(getattr(again, key), getattr(data, key)), key
    assert again.notes == (), "nothing is held out twice"


def test_what_may_be_looked_at_on_the_way_holds_no_test_sample():
    data = numbered((60, 40)).without_test
    assert data.x_test is data.x_val and data.y_test is data.y_val


# --- nothing is trained, calibrated or chosen by the test samples ----------------------------------------------------

def spoilt(data: Data) -> Data:
    """The same but for test samples of NaN, with labels drawn anew."""
    labels = np.random.default_rng(9).integers(0, 4, len(data.y_test))
    return replace(data, x_test=np.full_like(data.x_test, np.nan), y_test=labels)


def noise(x: np.ndarray) -> np.ndarray:
    return np.random.default_rng(5).normal(3, 2, x.shape).astype(np.float32)


ON_TEST = {"accuracy", "disagreement", "error", "task_ber", "metric", "output_ber", "interval"}


def without_test(step: dict) -> dict:
    """A step's figures but for what was measured on the test samples."""
    kept = {key: value for key, value in step.items() if key not in ON_TEST}
    for key in ("drop", "drop_as_given"):
        if kept[key] is not None:
            kept[key] = {part: kept[key][part] for part in ("epochs", "validation")}
    return kept


def saved(design, folder: Path) -> bytes:
    design.save(folder / "d.swd")
    return (folder / "d.swd").read_bytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("scheme", [SCHEME, "distill:0.5+magnitude:0.5,steps=2+log2x2:4"])
def test_test_data_of_nan_change_nothing_but_the_final_figures(scheme, tmp_path: Path):
    model, data = plain(6, 16, 8, 4), blobs()
    right, wrong = (compress(model, d, scheme, QUICK) for d in (data, spoilt(data)))
    assert saved(right.design, tmp_path) == saved(wrong.design, tmp_path)
    for a, b in zip(right.steps, wrong.steps, strict=True):
        assert without_test(a.to_json()) == without_test(b.to_json())
    assert [s.accuracy for s in right.steps] != [s.accuracy for s in wrong.steps], "test samples are what is reported"


def test_a_network_is_trained_and_calibrated_on_training_samples_alone(tmp_path: Path):
    model, data = plain(6, 16, 8, 4), blobs()
    seen = saved(compress(model, data, SCHEME, QUICK).design, tmp_path)
    others = replace(data, x_val=noise(data.x_val), y_val=data.y_val[::-1].copy())
    assert saved(compress(model, others, SCHEME, QUICK).design, tmp_path) == seen
    others = replace(data, x_train=noise(data.x_train))
    assert saved(compress(model, others, SCHEME, QUICK).design, tmp_path) != seen


class Sealed(Data):
    """Data whose test samples nobody may touch."""

    def __getattribute__(self, name: str):
        if name in ("x_test", "y_test"):
            raise AssertionError("the test samples were looked at")
        return super().__getattribute__(name)


def sealed(data: Data) -> Sealed:
    return Sealed(data.x_train, data.y_train, data.x_val, data.y_val, data.x_test, data.y_test, data.notes)


def test_without_its_final_figures_a_scheme_never_looks_at_the_test_samples():
    found = compress(plain(6, 16, 8, 4), sealed(blobs()), SCHEME, QUICK, test=False)
    last = found.steps[-1]
    assert last.accuracy is None and last.drop.test is None and 0 < last.quality <= 1
    with pytest.raises(AssertionError, match="looked at"):
        compress(plain(6, 16, 8, 4), sealed(blobs()), SCHEME, QUICK)


def test_the_trials_of_a_search_never_look_at_the_test_samples(tmp_path: Path):
    found = [search(plain(6, 12, 4), d, f"sqlite:///{tmp_path}/{i}.db", trials=4, settings=QUICK,
                    limits=Limits(max_accuracy_drop=5)) for i, d in enumerate((blobs(), sealed(blobs())))]
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_search_ends_with_the_same_choices_whatever_the_test_data(tmp_path: Path):
    model = plain(6, 12, 4)
    results = [run_search(model, d, tmp_path / name, trials=5, settings=QUICK, finalists=2, limits=Limits(20, 0.4))
               for name, d in (("a", blobs()), ("b", spoilt(blobs())))]
    one, other = results
    assert one.trials == other.trials and one.volume == other.volume
    assert [f.number for f in one.front] == [f.number for f in other.front]
    for a, b in zip(one.finalists, other.finalists, strict=True):
        assert replace(a, step=None) == replace(b, step=None) and a.step.accuracy != b.step.accuracy


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_best_rows_and_the_pareto_set_are_the_same_whatever_the_test_data(tmp_path: Path):
    model = plain(6, 16, 8, 4)
    made = []
    for name, d in (("a", blobs()), ("b", spoilt(blobs()))):
        compress_all(model, d, tmp_path / name, schemes=["log2:2", "log2:4", "magnitude:0.7"], reference=False,
                     settings=QUICK)
        made.append(json.loads((tmp_path / name / "report.json").read_text()))
    for key in ("best", "pareto"):
        assert made[0][key] == made[1][key]
    for file in (tmp_path / "a" / "rows").glob("*.swd"):
        assert file.read_bytes() == (tmp_path / "b" / "rows" / file.name).read_bytes()


def test_a_callers_training_loop_gets_validation_samples_for_test_samples():
    seen = []
    data = blobs()
    compress(plain(6, 8, 4), data, "log2:4", Settings(qat_epochs=3, trainer=lambda g, d, e: seen.append((d, e))))
    assert [e for _, e in seen] == [3, 3], "the network, then the original for as long"
    for d, _ in seen:
        assert d.x_test is d.x_val and d.y_test is d.y_val and len(d.x_test) == len(data.x_val)


def test_training_keeps_the_best_state_not_the_last():
    data, model = blobs(), plain(6, 16, 4)
    train(model, data, epochs=20, lr=5e-3, seed=0, what="float")
    inputs, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    before = whole_loss(model, inputs, labels, inputs)
    seen = []

    def watched(outputs, targets, taught):
        if len(outputs) == len(inputs):
            seen.append(float(default_loss(outputs, targets, taught)))
        return default_loss(outputs, targets, taught)

    train(model, data, epochs=4, lr=3.0, seed=0, what="much too fast", loss=watched)
    after = whole_loss(model, inputs, labels, inputs)
    assert len(seen) == 5 and seen[0] == pytest.approx(before) and after == min(seen) < seen[-1]


# --- a baseline that is trained as long ------------------------------------------------------------------------------

@pytest.fixture
def trainings(monkeypatch):
    """(what, epochs, learning rate, seed) of every training."""
    seen = []

    def watched(model, data, **options):
        seen.append((options["what"], options["epochs"], options["lr"], options["seed"]))
        train(model, data, **options)

    monkeypatch.setattr(baseline, "train", watched)
    return seen


@pytest.mark.parametrize("scheme", ["log2:4", SCHEME, "structured:0.4,steps=2+log2:3", "magnitude:0.5", "log2:4"])
def test_the_original_is_trained_for_as_many_epochs_at_the_same_rate(scheme, trainings):
    found = compress(plain(6, 16, 8, 4), blobs(), scheme, QUICK)
    *network, (what, epochs, lr, seed) = trainings
    assert what.startswith("training the original") and sum(part[1] for part in network) == epochs > 0
    assert {part[2:] for part in network} == {(lr, seed)} == {(QUICK.lr, QUICK.seed)}
    assert found.steps[-1].epochs == found.baseline.epochs == found.steps[-1].drop.epochs == epochs


def test_what_is_not_trained_is_held_against_the_original_as_it_is(trainings):
    found = compress(plain(6, 16, 8, 4), blobs(), "log2:4", Settings(qat_epochs=0))
    assert trainings == [] and found.baseline == found.steps[0]
    assert found.steps[-1].drop == found.steps[-1].drop_as_given and found.steps[-1].epochs == 0


def test_a_sweep_trains_one_baseline_for_each_number_of_epochs(trainings, tmp_path: Path):
    found = compress_all(plain(6, 16, 8, 4), blobs(), tmp_path / "o", reference=False, settings=QUICK,
                         schemes=["log2:4", "int:4", "magnitude:0.5", "random:0.5", "distill:0.5",
                                  "magnitude:0.5+log2:4"])
    counts = sorted({row.step.epochs for row in found.rows} - {0})  # a student's depend on when it stops improving
    assert {2, 3, 5} < set(counts) and all(count % 3 == 0 for count in set(counts) - {2, 3, 5})
    assert sorted(e for what, e, *_ in trainings if what.startswith("training the original")) == counts
    assert [step.epochs for step in found.baselines] == counts
    for row in found.rows:
        fair = {0: found.original, **{step.epochs: step for step in found.baselines}}[row.step.epochs]
        assert row.step.drop.test == pytest.approx(100 * (fair.accuracy - row.step.accuracy))
        assert row.step.drop.validation == pytest.approx(100 * (fair.quality - row.step.quality))
        assert row.step.drop_as_given.test == pytest.approx(100 * (found.original.accuracy - row.step.accuracy))
    text = (tmp_path / "o" / "report.txt").read_text()
    for epochs in counts:
        assert f"original, {epochs} more epochs" in text


def test_an_original_that_was_trained_too_little_does_not_make_compression_look_like_a_gain():
    data, model = blobs(), plain(6, 16, 4)
    train(model, data, epochs=1, lr=2e-3, seed=0, what="hardly")
    last = compress(model, data, "log2:4", Settings(qat_epochs=20)).steps[-1]
    assert last.drop_as_given.test < -40 and abs(last.drop.test) < 8


def test_a_baseline_does_not_change_the_original_nor_the_network_that_is_compressed(tmp_path: Path):
    model, data = plain(6, 16, 4), blobs()
    baselines = Baselines(model, data, QUICK)
    before = evaluate(baselines.original, data.x_val)
    alone = saved(compress(model, data, "log2:4", QUICK).design, tmp_path)
    baselines.trained(7)
    assert np.array_equal(evaluate(baselines.original, data.x_val), before)
    assert saved(compress(model, data, "log2:4", QUICK, baselines=baselines).design, tmp_path) == alone


def test_without_labels_the_original_has_nothing_to_learn(trainings):
    data = Data.of(blobs().x_train, None, blobs().x_test)
    found = compress(plain(6, 8, 4), data, "log2:3", QUICK)
    assert not any(what.startswith("training the original") for what, *_ in trainings)
    last = found.steps[-1]
    assert found.baseline.disagreement == 0 and last.drop.test == pytest.approx(100 * last.disagreement)


def test_baselines_of_other_settings_are_not_shared():
    baselines = Baselines(plain(6, 8, 4), blobs(), QUICK)
    with pytest.raises(ValueError, match="other settings"):
        compress(plain(6, 8, 4), blobs(), "log2:4", replace(QUICK, lr=0.1), baselines=baselines)


# --- limits ----------------------------------------------------------------------------------------------------------

def test_a_limit_of_the_accuracy_drop_is_passed_by_what_is_worse_not_by_what_is_better():
    limits = Limits(max_accuracy_drop=1.0)
    assert limits.violated(3.0, 0) == (2.0,) and limits.violated(-3.0, 0) == (-4.0,)
    assert not limits.kept(1.5, 0) and limits.kept(1.0, 0) and limits.kept(-5.0, 10**9)
    assert Limits(max_kib=2).violated(0.0, 3 * 1024) == (1.0,) and Limits(1.0, 2.0).violated(2.0, 1024) == (1.0, -1.0)
    assert Limits().kept(99.0, 10**9)


def test_the_sampler_is_told_how_far_each_trial_passes_the_limits(tmp_path: Path):
    limits = Limits(max_accuracy_drop=3.0, max_kib=0.2)
    url = f"sqlite:///{tmp_path}/s.db"
    found = search(plain(6, 16, 4), blobs(), url, trials=5, settings=QUICK, limits=limits)
    study = optuna.load_study(study_name=STUDY, storage=url)
    assert any(not f.fits for f in found)
    for trial, one in zip(study.trials, found, strict=True):
        told = {key: value for key, value in trial.system_attrs.items() if key.startswith("constraints")}
        assert sorted(told.values()) == pytest.approx(sorted((one.drop - 3.0, one.bytes / 1024 - 0.2)))
        assert one.fits == (one.drop <= 3.0 and one.bytes <= 0.2 * 1024)
