"""The benchmarks' own arithmetic: a goal that is missed is told, and the data are split as they say."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from small_models import QUICK, blobs, plain

from benchmarks.compression import Goal, tabled
from benchmarks.reference import REPORTED, _beside
from benchmarks.rounding import compared
from benchmarks.trained import IMAGES, LABELS, mnist_data
from toolkit.compress.sweep import REFERENCE
from toolkit.compress.training.loop import train
from toolkit.utils.errors import InputError


def network(seed: int):
    model = plain(6, 24, 4, seed=seed)
    train(model, blobs(), epochs=10, lr=5e-3, seed=seed, what="float")
    return model, blobs()


def test_a_scheme_is_judged_by_its_mean_over_the_seeds():
    goals = {"log2:4": Goal(4, 50), "log2:3": Goal(1000, 50), "int:4": Goal(4, -50), "log2x2:4": None}
    figures = tabled("blobs", network, goals, QUICK, seeds=2)
    assert [f.reached for f in figures] == [True, False, False, None]
    assert all("times smaller, drop " in f.ours and "95 % interval" in f.ours for f in figures)
    assert all("1 epoch more on both sides" in f.peer for f in figures)


def test_a_gain_of_gptq_must_have_its_interval_above_0():
    two, = compared("blobs", network, ("log2:2",), seeds=2)
    assert two.reached is not None and "gain" in two.peer


def test_weight_bers_are_held_against_the_reported_ones():
    assert set(REPORTED) == {name for name in REFERENCE if not name.startswith("student")}
    assert _beside("random_0.5", 26.07 + 1.4, 50).reached and not _beside("random_0.5", 26.07 + 1.6, 50).reached
    assert _beside("magnitude_0.1", 4.86 - 3.4, 10).reached and not _beside("magnitude_0.1", 4.86 + 3.6, 10).reached
    assert _beside("structured_0.3", 25.2, 49.6).reached and not _beside("structured_0.3", 15.88, 49.6).reached


def test_mnist_is_split_into_the_first_8000_of_which_a_fifth_validates_and_the_last_2000(tmp_path: Path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 2, (10_000, 784), np.uint8) * 255, np.arange(10_000, dtype=np.uint8) % 10
    (tmp_path / IMAGES).write_bytes(gzip.compress(bytes(16) + images.tobytes(), 1))
    (tmp_path / LABELS).write_bytes(gzip.compress(bytes(8) + labels.tobytes(), 1))
    data = mnist_data(tmp_path)
    assert len(data.x_train) == 6400 and len(data.x_val) == 1600
    together = np.concatenate([data.x_train, data.x_val])
    assert (np.unique(together, axis=0) == np.unique(images[:8000] / np.float32(255), axis=0)).all()
    assert (data.x_test == images[8000:] / 255).all() and np.bincount(data.y_val).min() > 150
    assert data.y_test is not None and (data.y_test == labels[8000:]).all() and data.task == "classes"


def test_a_folder_without_mnist_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=IMAGES):
        mnist_data(tmp_path / "none")
