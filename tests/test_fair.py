"""Fair accuracies: three data sets that do not mix, a baseline trained as long, and differences with their interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.compress import Data
from toolkit.errors import InputError


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
