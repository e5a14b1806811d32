"""The study that workers share: opened by whoever comes, at the same time too, and only for one and the same search."""

from __future__ import annotations

import time
import warnings
from typing import Any

import optuna
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from toolkit.utils.errors import InputError

STUDY = "shiftwright"
HEARTBEAT, GRACE = 5, 20
"""Seconds between a worker's signs of life, and after how many without one its trial is given to another."""
PATIENCE = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": 10}, "mysql": {"connect_timeout": 10}}
"""Seconds that a database may take: to unlock a file that other workers write, or to answer at all."""
COLLISIONS = "already exists", "unique", "duplicate", "database is locked", "record has changed"
"""What databases say to a worker that makes the tables at the same moment as another one."""
ATTEMPTS, PAUSE = 20, 0.25


def opened(url: str, directions: list[Any], fingerprint: str, seed: int) -> optuna.Study:
    """The study at an optuna URL, made if it is not there. `fingerprint`: a digest of all that makes two searches one.

    Raises InputError for a storage that does not answer or that holds another search.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    for attempt in range(ATTEMPTS):
        try:
            study = _study(url, directions, seed)
            known = study.user_attrs.get("fingerprint")
            if known is None:
                study.set_user_attr("fingerprint", fingerprint)
                known = study.user_attrs["fingerprint"]
            break
        except Exception as error:  # each database raises its own kinds
            told = str(error.__cause__ or error).lower()
            collided = isinstance(error, DBAPIError | optuna.exceptions.StorageInternalError) and \
                any(word in told for word in COLLISIONS)
            if not collided or attempt == ATTEMPTS - 1:
                raise InputError(f"the storage '{url[:100]}' does not answer: {line(error)}; give an optuna URL, as "
                                 "sqlite:///study.db, and install the driver that it names") from error
            time.sleep(PAUSE)
    if known != fingerprint:
        raise InputError(f"the storage '{url[:100]}' holds a search over another model, other data, settings or "
                         "objectives; name a new folder with -o, or another --storage")
    return study


def _study(url: str, directions: list[Any], seed: int) -> optuna.Study:
    patience = {"connect_args": PATIENCE.get(make_url(url).get_backend_name(), {})}
    again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3)
    place = optuna.storages.RDBStorage(url, patience, heartbeat_interval=HEARTBEAT, grace_period=GRACE,
                                       heartbeat_stale_trial_callback=again)
    try:
        return optuna.create_study(study_name=STUDY, storage=place, directions=directions, sampler=_sampler(seed))
    except optuna.exceptions.DuplicatedStudyError:
        # Another one began it: this worker must not draw the same numbers again.
        return optuna.load_study(study_name=STUDY, storage=place, sampler=_sampler(seed + time.time_ns() % 1_000_003))


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def revive(study: optuna.Study, known: set[int]) -> None:
    """Give up the trials of workers that died; each comes again as a new one. `known`: the trials under way that this
    worker has seen before; it grows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if trial._trial_id not in known:
            # A worker that died before its first sign of life would never be missed: it gets one from here.
            known.add(trial._trial_id)
            study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]


def line(error: Exception) -> str:
    """The first line of a library's error, at most 200 characters."""
    return next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)[:200]
