"""The .swd file: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.networks.strategies import designs
from toolkit.design import Design
from toolkit.utils.errors import InputError


@given(designs())
@settings(max_examples=30, deadline=None)
def test_a_loaded_design_computes_the_same(tmp_path_factory, design: Design):
    path = tmp_path_factory.mktemp("swd") / "d.swd"
    design.save(path)
    form = design.input.format
    codes = np.random.default_rng(0).integers(form.min_code, form.max_code, (20, *design.input.shape), endpoint=True)
    assert (Design.load(path).reference(codes) == design.reference(codes)).all()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    from benchmarks.networks import mlp

    path = tmp_path / "net.swd"
    mlp((4, 6, 3)).save(path)
    return path


def test_the_same_design_gives_the_same_bytes(saved: Path, tmp_path: Path):
    again = tmp_path / "again.swd"
    Design.load(saved).save(again)
    assert again.read_bytes() == saved.read_bytes()


def rewritten(path: Path, change) -> Path:
    """The same archive with each (name, bytes) passed through `change`; None drops a member."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    out = path.with_name("changed.swd")
    with zipfile.ZipFile(out, "w") as new:
        for name, data in members.items():
            for pair in change(name, data):
                new.writestr(*pair)
    return out


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Design.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "e.swd").write_bytes(b"")
    refused(tmp_path / "e.swd")


def test_a_missing_file_is_refused(tmp_path: Path):
    refused(tmp_path / "none.swd")


def test_a_truncated_file_is_refused(saved: Path):
    saved.write_bytes(saved.read_bytes()[:-200])
    refused(saved)


def test_another_schema_is_refused_by_number(saved: Path):
    def change(name, data):
        if name == "design.json":
            data = json.dumps({**json.loads(data), "schema": 99}).encode()
        return [(name, data)]

    assert "99" in refused(rewritten(saved, change))


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/evil.npy", "a/../../evil.npy"])
def test_a_path_that_leaves_the_archive_is_refused(saved: Path, name):
    refused(rewritten(saved, lambda n, d: [(n, d), (name, b"x")] if n == "design.json" else [(n, d)]))


def test_json_that_is_none_is_refused(saved: Path):
    refused(rewritten(saved, lambda n, d: [(n, b"{" if n == "design.json" else d)]))


def test_a_missing_array_is_refused(saved: Path):
    refused(rewritten(saved, lambda n, d: [] if n.endswith("codes.npy") else [(n, d)]))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/shiftwright_was_here"),))


def test_a_pickle_is_never_loaded(saved: Path):
    data = io.BytesIO()
    np.save(data, np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(rewritten(saved, lambda n, d: [(n, data.getvalue() if n.endswith("codes.npy") else d)]))
    assert not Path("/tmp/shiftwright_was_here").exists()


def test_an_array_that_claims_to_be_huge_is_refused(saved: Path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 4)})
    refused(rewritten(saved, lambda n, d: [(n, header.getvalue() if n.endswith("codes.npy") else d)]))


def test_an_accumulator_that_cannot_be_proved_is_refused(saved: Path):
    def change(name, data):
        if name == "design.json":
            text = json.loads(data)
            text["layers"][0]["bias_frac"] = 900
            data = json.dumps(text).encode()
        return [(name, data)]

    refused(rewritten(saved, change))
