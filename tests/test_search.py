"""The search: it keeps its limits, shares its storage, survives kill -9, and what it finds can be built."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import blobs, plain

from toolkit.api import Data, Limits, Settings, build_trial, run_search
from toolkit.commands.exported import save_pt2
from toolkit.compress.training.loop import train
from toolkit.search import storage
from toolkit.search.run import DATABASE, spread
from toolkit.search.search import Found, full, hypervolume, pareto
from toolkit.search.space import Choice
from toolkit.search.storage import opened
from toolkit.utils.errors import InputError

QUICK = Settings(qat_epochs=2, finetune_epochs=2)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    made = plain(6, 16, 8, 4)
    train(made, blobs(), epochs=15, lr=5e-3, seed=0, what="float")
    return made


@pytest.fixture(scope="module")
def found(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "s"
    return out, run_search(model, blobs(), out, trials=12, limits=Limits(60, 0.3), settings=QUICK, finalists=3)


def test_it_does_as_many_trials_as_asked_and_trains_the_finalists(found):
    _, result = found
    assert len(result.trials) == 12 and len({f.number for f in result.trials}) == 12
    assert 1 <= len(result.finalists) <= 3 and all(f.trained for f in result.finalists)


def test_the_front_keeps_the_limits(found):
    _, result = found
    for f in result.front:
        assert f.bytes <= 0.3 * 1024 and f.drop <= 60


def test_its_files_say_the_same(found):
    out, result = found
    data = json.loads((out / "search.json").read_text())
    assert data["front"] == [f.number for f in result.front]
    assert (out / "search.svg").read_text().startswith("<svg") and "build one with" in (out / "search.txt").read_text()


def test_one_seed_gives_one_search(found, model, tmp_path: Path):
    _, result = found
    again = run_search(model, blobs(), tmp_path / "s", trials=12, limits=Limits(60, 0.3), settings=QUICK, finalists=3)
    assert (again.trials, again.finalists) == (result.trials, result.finalists)


@given(st.integers(1, 30), st.integers(1, 12))
def test_the_finalists_are_the_ends_of_the_front_and_what_lies_between(many: int, count: int):
    front = [Found(i, Choice(f"log2:{i // 2}", (), 8), 0.5, i // 2, 0, False, True, 0.0, 0) for i in range(2 * many)]
    picked = [f.bytes for f in spread(front, count)]
    assert picked == sorted(set(picked)) and len(picked) == min(count, many)
    assert picked[0] == 0 and (count == 1 or picked[-1] == many - 1)


def test_running_it_again_goes_on_where_it_stopped(found, model):
    out, result = found
    again = run_search(model, blobs(), out, trials=14, limits=Limits(60, 0.3), settings=QUICK, finalists=1)
    assert len(again.trials) == 14
    assert {f.number: f.accuracy for f in result.trials}.items() <= {f.number: f.accuracy for f in again.trials}.items()


def test_other_limits_judge_all_trials_anew(found, model):
    out, result = found
    tight = Limits(60, min(f.bytes for f in result.trials) / 1024)
    again = run_search(model, blobs(), out, trials=12, limits=tight, settings=QUICK, finalists=1)
    assert all(f.bytes / 1024 <= tight.max_kib for f in again.trials if f.fits)
    assert sum(f.fits for f in again.trials) < sum(f.fits for f in result.trials)


def test_a_full_training_gives_the_figures_that_were_told(found, model):
    _, result = found
    one = result.finalists[0]
    step = full(model, blobs(), one, QUICK).steps[-1]
    assert (step.quality, step.size) == (one.accuracy, one.bytes) and step == one.step


def test_a_trial_can_be_built(found, model, tmp_path: Path):
    out, result = found
    one = result.finalists[0]
    built = build_trial(out, one.number, model, blobs(), tmp_path / "b", vectors=200)
    assert built.report.ok and built.compressed.steps[-1] == one.step


def test_another_models_search_is_refused(found):
    out, _ = found
    with pytest.raises(InputError, match="another model"):
        run_search(plain(6, 16, 8, 4, seed=9), blobs(), out, trials=20, settings=QUICK)


def test_a_folder_that_is_no_search_is_refused(model, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letter\.txt"):
        run_search(model, blobs(), tmp_path, trials=2, settings=QUICK)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////no/such/folder/x.db", "postgresql://127.0.0.1:1/x"])
def test_a_storage_that_does_not_answer_is_one_sentence(model, tmp_path: Path, url):
    with pytest.raises(InputError, match="does not answer") as caught:
        run_search(model, blobs(), tmp_path / "o", trials=2, storage=url, settings=QUICK)
    assert "\n" not in str(caught.value) and not (tmp_path / "o").exists()


def test_data_without_labels_is_refused(model, tmp_path: Path):
    with pytest.raises(InputError, match="labels"):
        run_search(model, Data.of(blobs().x_train), tmp_path / "o", trials=2, settings=QUICK)


def test_a_metric_of_ones_own_is_what_is_searched_by(model, tmp_path: Path):
    data = Data.of(blobs().x_train, np.eye(4)[blobs().y_train], blobs().x_test, np.eye(4)[blobs().y_test], "values")
    chosen = Settings(qat_epochs=1, finetune_epochs=1, metric=lambda outputs,
                      y: float((outputs.argmax(1) == y.argmax(1)).mean()))
    result = run_search(model, data, tmp_path / "o", trials=2, settings=chosen, finalists=1)
    assert 0 < result.original.quality <= 1 and all(0 <= f.accuracy <= 1 for f in result.trials)


def test_trials_that_only_fail_end_the_search(model, tmp_path: Path):
    def broken(outputs, targets):
        raise KeyError("no such thing")

    with pytest.raises(InputError, match=r"loss 'broken' failed: KeyError.*no such thing"):
        run_search(model, blobs(), tmp_path / "o", trials=20, settings=Settings(qat_epochs=1, finetune_epochs=1,
                                                                                loss=broken))


def test_a_trial_that_is_not_there_is_refused(found, model, tmp_path: Path):
    with pytest.raises(InputError, match="no trial 999"):
        build_trial(found[0], 999, model, blobs(), tmp_path / "b")


def test_the_front_is_what_nothing_beats():
    choice = Choice("log2:4", (), 8)
    points = [(0.9, 100, 5), (0.8, 50, 5), (0.8, 60, 5), (0.95, 100, 6), (0.7, 50, 4)]
    found = [Found(i, choice, a, b, c, True, True, 0.0, 0) for i, (a, b, c) in enumerate(points)]
    assert [f.number for f in pareto(found, ("accuracy", "bytes"))] == [1, 3]
    assert [f.number for f in pareto(found, ("accuracy", "bytes", "adder_bits"))] == [4, 1, 0, 3]


def test_the_hypervolume_is_the_area_that_is_dominated():
    assert hypervolume([(4, 0.5), (8, 1.0), (8, 0.7)], (16, 0.0)) == 2 * 0.5 + 1 * 0.5


IMPATIENT = """
from toolkit.search import storage
storage.HEARTBEAT, storage.GRACE = 1, 6
from toolkit.cli import main
main()
"""
"""The command line with a grace that a test can wait for."""


OPEN = """
import sys, time
from toolkit.search.storage import opened
while time.time() < float(sys.argv[2]):
    pass
study = opened(sys.argv[1], ["maximize"], "same", 0)
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
"""


def test_a_trial_whose_worker_died_before_its_first_sign_of_life_comes_again(model, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "HEARTBEAT", 1)
    monkeypatch.setattr(storage, "GRACE", 2)
    run_search(model, blobs(), tmp_path / "s", trials=2, settings=QUICK, finalists=1)
    study = optuna.load_study(study_name=storage.STUDY, storage=f"sqlite:///{tmp_path / 's' / DATABASE}")
    lost = study.ask()  # and nobody who works on it
    run_search(model, blobs(), tmp_path / "s", trials=3, settings=QUICK, finalists=1)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[3].system_attrs["failed_trial"] == lost.number


def test_workers_that_start_at_the_same_moment_share_one_study_and_draw_different_trials(tmp_path: Path):
    url, start = f"sqlite:///{tmp_path / 's.db'}", str(time.time() + 8)
    workers = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", OPEN, url, start], stderr=subprocess.PIPE,
                                text=True) for _ in range(3)]
    for worker in workers:
        assert worker.wait(120) == 0, worker.stderr.read()  # type: ignore[union-attr]
    drawn = [trial.params["x"] for trial in opened(url, ["maximize"], "same", 0).trials]
    assert len(drawn) == len(set(drawn)) == 9


def test_a_worker_killed_half_way_costs_its_own_trial_only(model, tmp_path: Path):
    save_pt2(model, (6,), tmp_path / "m.pt2")
    blobs().save(tmp_path / "d.npz")
    url = f"sqlite:///{tmp_path / 'shared.db'}"

    def worker(name: str, trials: int = 24) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, "search", str(tmp_path / "m.pt2"), "--data", str(tmp_path / "d.npz"),
             "-o", str(tmp_path / name), "--storage", url, "--trials", str(trials), "--qat-epochs", "2",
             "--finetune-epochs", "2",
             "--finalists", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"})

    def asked(question: str) -> list[tuple]:
        with sqlite3.connect(tmp_path / "shared.db", timeout=30) as base:
            return base.execute(question).fetchall()

    def states() -> dict[str, int]:
        return dict(asked("select state, count(*) from trials group by state"))

    first = worker("a")
    deadline = time.time() + 120
    while time.time() < deadline:
        try:
            now = states()
            if now.get("COMPLETE", 0) >= 3 and now.get("RUNNING", 0):
                break
        except sqlite3.OperationalError:
            pass
        time.sleep(0.05)
    second = worker("b")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    running = [number for (number,) in asked("select number from trials where state = 'RUNNING'")]
    again = worker("a")
    for process in (second, again):
        assert process.wait(240) == 0, process.stderr.read()  # type: ignore[union-attr]
    assert 24 <= states()["COMPLETE"] <= 25  # two workers may each begin the last one
    time.sleep(7)  # by now the dead worker's trial has been silent for too long
    last = worker("a", 26)
    assert last.wait(240) == 0, last.stderr.read()  # type: ignore[union-attr]
    final = states()
    assert final == {"COMPLETE": 26, "FAIL": 1}
    failed = asked("select number from trials where state = 'FAIL'")[0][0]
    assert failed in running
    repeated = asked("select t.state from trials t join trial_system_attributes a using (trial_id) "
                     f"where a.key = 'failed_trial' and a.value_json = '{failed}'")
    assert repeated == [("COMPLETE",)]
    numbers = [t["trial"] for t in json.loads((tmp_path / "a" / "search.json").read_text())["trials"]]
    assert sorted([*numbers, failed]) == list(range(27))
