"""A study over compression choices: proxies first, full training for the best, any number of workers on one storage."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError
from torch import fx

from toolkit.capture.capture import Source
from toolkit.compress import Baselines, Compressed, Data, Settings, compress
from toolkit.compress.measure.measures import Step
from toolkit.compress.steps import Gate
from toolkit.estimate.adder_bits import adder_bits
from toolkit.search.space import SPACE, Choice, choose
from toolkit.search.storage import line, opened, revive
from toolkit.utils.errors import InputError, ShiftwrightError
from toolkit.utils.progress import bar

OBJECTIVES = {"accuracy": "maximize", "bytes": "minimize", "adder_bits": "minimize"}
PROXY = {"qat_epochs": 2, "finetune_epochs": 6}
MOST_FAILURES = 8
"""Trials that may fail one after the other before it is not the trials' fault."""


@dataclass(frozen=True)
class Limits:
    """Constraints: percentage points of validation accuracy (or percent of the caller's metric) below the original
    trained for as many epochs, and KiB of parameters. None: no limit."""

    max_accuracy_drop: float | None = None
    max_kib: float | None = None

    def violated(self, drop: float, size: int) -> tuple[float, ...]:
        """How far each limit is passed; nothing above 0 where all are kept."""
        found = []
        if self.max_accuracy_drop is not None:
            found.append(drop - self.max_accuracy_drop)
        if self.max_kib is not None:
            found.append(size / 1024 - self.max_kib)
        return tuple(found)

    def kept(self, drop: float, size: int) -> bool:
        return max(self.violated(drop, size), default=0.0) <= 0


@dataclass(frozen=True)
class Found:
    """One trial: its choice and its figures. `accuracy` (the caller's metric where there is one) and `drop`, against
    the original trained for as many `epochs`, are the validation samples'; `step` holds what the test samples say,
    for finalists only. `trained` says whether the figures are a full training's or a proxy's, `fits` whether they keep
    the limits."""

    number: int
    choice: Choice
    accuracy: float
    bytes: int
    adder_bits: int
    trained: bool
    fits: bool
    drop: float
    epochs: int
    step: Step | None = None

    def figure(self, objective: str) -> float:
        return float(getattr(self, objective))


def search(model: Source, data: Data, storage: str, *, trials: int, objectives: tuple[str, ...] = tuple(OBJECTIVES),
           limits: Limits | None = None, settings: Settings | None = None, seed: int = 0) -> list[Found]:
    """Work on the study at `storage` until it has `trials` finished trials, whoever did them; returns all of them.

    `storage` is an optuna URL, as sqlite:///study.db. A worker that dies costs its own trial, which another repeats.
    Raises InputError for a storage that does not answer or that holds another model's, data's or settings' study.
    """
    unknown = [name for name in objectives if name not in OBJECTIVES]
    if unknown or not objectives:
        raise InputError(f"unknown objective '{unknown[0] if unknown else ''}'; known are {', '.join(OBJECTIVES)}")
    if not 1 <= trials <= 1_000_000:
        raise InputError(f"{trials} trials are outside 1..1000000")
    limits, settings = limits or Limits(), settings or Settings()
    if data.task not in ("classes", "bits") and settings.metric is None:
        raise InputError("a search needs labels that are classes or bits, to measure accuracy by, or a --metric")
    baselines = Baselines(model, data, settings, test=False)
    study = opened(storage, [OBJECTIVES[name] for name in objectives],
                   _fingerprint(baselines.original, baselines.data, settings, objectives), seed)
    proxy = replace(settings, **{name: min(most, getattr(settings, name)) for name, most in PROXY.items()})
    try:
        _work(study, trials, lambda trial: _objective(trial, baselines, proxy, objectives, limits))
        return results(study, limits)
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise InputError(f"the storage '{storage[:100]}' answers no more: {line(error)}; its finished trials are "
                         "kept, and running the search again goes on") from error


def _work(study: optuna.Study, trials: int, objective: Callable[[optuna.Trial], tuple[float, ...]]) -> None:
    """Do trials until the study has enough; raise what they fail of where they only fail."""
    failures: list[ShiftwrightError] = []

    def run(trial: optuna.Trial) -> tuple[float, ...]:
        try:
            figures = objective(trial)
            failures.clear()
            return figures
        except ShiftwrightError as error:
            failures.append(error)
            raise

    with bar("search", trials) as advance:
        shown, under_way = 0, set[int]()
        while True:
            done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
            advance(done - shown)
            shown = done
            if done >= trials:
                break
            revive(study, under_way)
            if done + _running(study) >= trials:
                time.sleep(0.5)  # the last ones are under way at other workers
                continue
            try:
                study.optimize(run, n_trials=1, catch=(ShiftwrightError,))
            except ValueError as error:
                # The machine slept beyond the grace: the trial was given to another, and its result with it.
                if not str(error).startswith("Cannot tell"):
                    raise
            if len(failures) >= MOST_FAILURES:
                raise failures[-1]


def results(study: optuna.Study, limits: Limits) -> list[Found]:
    """Every finished trial, by number, judged by `limits`."""
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        a = trial.user_attrs
        found.append(Found(trial.number, Choice.from_json(a["choice"]), a["accuracy"], a["bytes"], a["adder_bits"],
                           a["trained"], limits.kept(a["drop"], a["bytes"]), a["drop"], a["epochs"]))
    return found


def pareto(found: list[Found], objectives: tuple[str, ...]) -> list[Found]:
    """The trials within the limits that no other beats in every objective; the fewest bytes first."""
    good = [f for f in found if f.fits]

    def beats(a: Found, b: Found) -> bool:
        pairs = [(f(a), f(b)) for f in (_sense(name) for name in objectives)]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    front = [f for f in good if not any(beats(other, f) for other in good)]
    return sorted(front, key=lambda f: (f.bytes, f.adder_bits, -f.accuracy, f.number))


def hypervolume(points: list[tuple[float, float]], worst: tuple[float, float]) -> float:
    """The area that points (bytes, accuracy) dominate up to the corner `worst`, bytes on a log2 scale."""
    area, best = 0.0, worst[1]
    for size, accuracy in sorted(points):
        if size < worst[0] and accuracy > best:
            area += (np.log2(worst[0]) - np.log2(size)) * (accuracy - best)
            best = accuracy
    return float(area)


def full(model: Source, data: Data, found: Found, settings: Settings, name: str = "network",
         baselines: Baselines | None = None) -> Compressed:
    """A trial's network with the whole training."""
    return compress(model, data, found.choice.scheme, found.choice.settings(settings), name=name, baselines=baselines)


def _sense(objective: str):
    sign = 1 if OBJECTIVES[objective] == "maximize" else -1
    return lambda f: sign * f.figure(objective)


def _objective(trial: optuna.Trial, baselines: Baselines, settings: Settings, objectives: tuple[str, ...],
               limits: Limits) -> tuple[float, ...]:
    choice = choose(trial, baselines.original)
    made = compress(baselines.original, baselines.data, choice.scheme, choice.settings(settings), baselines=baselines)
    step = made.steps[-1]
    assert made.design is not None and step.drop is not None
    drop = step.drop.validation
    figures = {"accuracy": step.quality, "bytes": step.size, "adder_bits": adder_bits(made.design)}
    for key, value in figures.items():
        trial.set_user_attr(key, value)
    trial.set_user_attr("choice", choice.to_json())
    trial.set_user_attr("trained", False)
    trial.set_user_attr("drop", drop)
    trial.set_user_attr("epochs", step.epochs)
    for i, passed in enumerate(limits.violated(drop, step.size)):
        trial.set_constraint(str(i), passed)
    return tuple(float(figures[name]) for name in objectives)


def _running(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _fingerprint(graph: fx.GraphModule, data: Data, settings: Settings, objectives: tuple[str, ...]) -> str:
    """A digest of all that makes two studies one. The test samples are not part of it: nothing here depends on them."""
    own = [getattr(f, "__qualname__", None) for f in (settings.metric, settings.loss, settings.trainer)]
    digest = hashlib.sha256(json.dumps([settings.qat_epochs, settings.finetune_epochs, settings.lr, settings.rounding,
                                        vars(settings.widths),
                                        list(objectives), settings.seed, own, SPACE]).encode())
    for parameter in graph.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    for array in (data.x_train, data.y_train, data.x_val, data.y_val):
        digest.update(b"" if array is None else array.tobytes())
    digest.update(b"bytes" if data.raw else b"")
    digest.update(b"" if settings.gate == Gate() else settings.gate.kind.encode())
    return digest.hexdigest()
