"""The wheel holds all that it needs: templates and benches too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import toolkit
assert toolkit.__file__.startswith(sys.argv[1]), toolkit.__file__
from toolkit.api import generate
generate(sys.argv[2], sys.argv[3], vectors=50)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """A built wheel, unpacked as an installation would be."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", folder, ROOT], check=True)
    wheel = next(folder.glob("shiftwright-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_an_installed_wheel_generates_a_project(unpacked: Path, tmp_path: Path):
    from benchmarks.networks import mlp

    mlp((4, 6, 3)).save(tmp_path / "net.swd")
    subprocess.run([sys.executable, "-c", SCRIPT, unpacked, tmp_path / "net.swd", tmp_path / "out"], check=True,
                   cwd=tmp_path)
    assert (tmp_path / "out" / "sim" / "benches" / "bench.v").is_file() and (tmp_path / "out" / "rtl").is_dir()


def test_the_wheel_names_its_command_and_licence(unpacked: Path):
    info = next(unpacked.glob("*.dist-info"))
    assert "shiftwright = toolkit.cli:main" in (info / "entry_points.txt").read_text()
    assert "Apache" in next(info.rglob("LICENSE")).read_text()
