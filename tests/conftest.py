"""Shared by all tests: what is built once and used by many."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from required_tools import (  # noqa: F401 - hooks of this run
    pytest_collection_modifyitems,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hw_sim"))  # the benches, imported by their own names


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Every worker has a core of its own."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made_project(tmp_path_factory) -> Path:
    """A project of a network with every layer, generated and its simulation built once."""
    from benchmarks.networks import every_layer
    from toolkit.api import Options, generate, simulate

    folder = tmp_path_factory.mktemp("made") / "project"
    generate(every_layer(), folder, options=Options(2), vectors=3000)
    assert simulate(folder, bench="player").ok
    return folder


@pytest.fixture
def project(made_project: Path, tmp_path: Path) -> Path:
    """A copy of it to play with, simulation included."""
    return Path(shutil.copytree(made_project, tmp_path / "project"))
