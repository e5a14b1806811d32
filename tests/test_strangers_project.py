"""A project folder from a stranger: nothing is followed out of it, read beyond a limit, or removed but what we made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_projects import c_project, everything

from toolkit.api import simulate
from toolkit.utils.resources import folder as resource

RUN = [sys.executable, str(resource("hw_sim") / "run.py")]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """With C and RTL; nothing built."""
    return c_project(tmp_path_factory.mktemp("made") / "project", ("c", "verilog"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What a user has elsewhere."""
    folder = tmp_path / "outside"
    (folder / "c").mkdir(parents=True)
    for name in ("thesis.tex", "c/notes", ".lock", ".shiftwright"):
        (folder / name).write_text("years of work\n")
    return folder


def refused(project: Path, *options: str) -> str:
    done = subprocess.run([*RUN, str(project), *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def edit(project: Path, **entries: object) -> None:
    path = project / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


LINKS = ["build", "build/c", "build/c/network", "build/c/network.key", "build/c/deep/er", "build/.lock",
         "build/.shiftwright", "build/anything", "vectors", "vectors/random_in.npy", "c", "c/unlisted", "manifest.json"]


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("place", LINKS)
def test_no_link_is_followed(project: Path, outside: Path, place: str, dangling: bool):
    path = project / place
    if path.exists():
        path.rename(outside / "moved")
    path.parent.mkdir(parents=True, exist_ok=True)
    there = outside / "moved" if (outside / "moved").exists() else outside
    if Path(place).suffix or Path(place).name.startswith("."):
        there = there if there.is_file() else outside / "thesis.tex"
    path.symlink_to(outside / "nowhere" if dangling else there)
    before = everything(outside)
    told = refused(project, "--target", "c", "--rebuild")
    assert "link" in told or "manifest.json" in told
    assert everything(outside) == before and path.is_symlink()


def test_a_relative_link_out_of_the_folder_is_not_followed(project: Path, outside: Path):
    (project / "build").symlink_to("../outside", target_is_directory=True)
    before = everything(outside)
    assert "is a link" in refused(project, "--target", "verilog", "--rebuild", "--waves", "--junit",
                                  str(project / "build" / "junit.xml"))
    assert everything(outside) == before


def test_a_project_behind_a_link_of_the_users_own_will_do(project: Path, tmp_path: Path):
    (tmp_path / "mine").symlink_to(project, target_is_directory=True)
    assert simulate(tmp_path / "mine", targets=("c",)).ok


@pytest.mark.parametrize("name", ["c/notes.txt", "c/network.key", "sim/notes.txt", "sim/deep/er/notes", "hls"])
def test_a_users_file_in_build_is_named_and_kept(project: Path, name: str):
    file = project / "build" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    target = "verilog" if name.startswith("sim") else "c"
    if name == "hls":  # where no simulation works it does not matter
        assert simulate(project, targets=("c",), rebuild=True).ok
    else:
        assert f"{name}' was not made by a simulation" in refused(project, "--target", target, "--rebuild")
    assert file.read_text() == "mine"


def test_what_a_simulation_made_is_made_again(project: Path):
    assert simulate(project, targets=("c",)).ok
    first = everything(project / "build")
    assert simulate(project, targets=("c",)).data["build_cached"]
    assert simulate(project, targets=("c",), rebuild=True).ok
    assert everything(project / "build").keys() == first.keys()
    listed = (project / "build" / ".shiftwright").read_text().splitlines()
    files = {str(p.relative_to(project / "build")) for p in (project / "build").rglob("*") if p.is_file()}
    assert set(listed) == files - {".shiftwright"} or set(listed) == files


@pytest.mark.parametrize("line", ["../outside/", "/", "../../", "..", "c/../../outside/thesis.tex", "a\0b", "\udcff/"])
def test_a_strangers_list_cannot_name_what_is_not_in_build(project: Path, outside: Path, line: str):
    (project / "build").mkdir()
    (project / "build" / ".shiftwright").write_bytes(os.fsencode(f"{outside}/\n{outside}/thesis.tex\n{line}\nc/\n"))
    before = everything(outside)
    assert simulate(project, targets=("c",), rebuild=True).ok
    subprocess.run([*RUN, str(project), "--clean"], check=True)
    assert everything(outside) == before


def test_another_name_of_a_users_file_is_not_written_over(project: Path, outside: Path):
    assert simulate(project, targets=("c",)).ok
    for made in (project / "build" / "c").iterdir():
        made.unlink()
        made.hardlink_to(outside / "thesis.tex")
    assert simulate(project, targets=("c",)).ok
    assert (outside / "thesis.tex").read_text() == "years of work\n"


def test_a_strangers_executable_in_build_is_not_run(project: Path, tmp_path: Path):
    """Whatever its key says: only what this user built is used again."""
    assert simulate(project, targets=("c",)).ok
    program = next(p for p in (project / "build" / "c").iterdir() if not p.suffix)
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    found = simulate(project, targets=("c",))
    assert found.ok and not found.data["build_cached"] and not (tmp_path / "pwned").exists()


def test_what_another_user_built_is_built_again(project: Path, tmp_path: Path):
    assert simulate(project, targets=("c",)).ok
    assert not simulate(project, targets=("c",), cache=str(tmp_path / "elsewhere")).data["build_cached"]


def test_clean_removes_what_simulations_made_and_nothing_else(project: Path):
    assert simulate(project, targets=("c",)).ok
    clean = ["make", "clean", f"PYTHON={sys.executable}"]
    subprocess.run(clean, cwd=project, check=True, capture_output=True)
    assert not (project / "build").exists()
    assert simulate(project, targets=("c",)).ok
    (project / "build" / "c" / "notes").write_text("mine")
    done = subprocess.run(clean, cwd=project, check=True, capture_output=True, text=True)
    assert "build/c/notes stays" in done.stdout
    assert [p.name for p in (project / "build" / "c").iterdir()] == ["notes"]


@pytest.mark.parametrize("place", ["vectors/random_in.npy", "c/mlp_4_6_3.c", "manifest.json", "build/c/pipe"])
def test_a_pipe_is_no_file_and_nobody_waits_for_it(project: Path, place: str):
    path = project / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    refused(project, "--target", "c")


@pytest.mark.parametrize("name, why", [
    ("c/mlp.c", None), ("manifest.json", "a file of the project"), ("vectors/random_in.npy", "a file of the project"),
    ("build/c/notes", "was not made by a simulation"), ("linked/j.xml", "is a link")])
def test_a_junit_file_goes_over_nothing_of_the_project(project: Path, outside: Path, name: str, why: str | None):
    (project / "build" / "c").mkdir(parents=True)
    (project / "build" / "c" / "notes").write_text("mine")
    (project / "linked").symlink_to(outside)
    if why is None:
        name, why = next(str(p.relative_to(project)) for p in (project / "c").glob("*.c")), "a file of the project"
    before = everything(project), everything(outside)
    assert why in refused(project, "--target", "verilog", "--junit", str(project / name))
    after = {k: v for k, v in everything(project).items() if k not in ("build/.lock", "build/.shiftwright")}
    assert (after, everything(outside)) == before


# -- the manifest ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "Infinity", "-Infinity", "NaN", "1e999", "-1e999", "1" * 5000, "9" * 400, "1.5", "true", "null", '"5"', "[5]"])
@pytest.mark.parametrize("key", ["samples", "elements", "width", "trace_samples"])
def test_a_number_that_is_no_count_is_refused(project: Path, key: str, text: str):
    path = project / "manifest.json"
    whole = path.read_text()
    changed = whole.replace(f'"{key}": ', f'"{key}": {text}, "was": ', 1)
    assert changed != whole
    path.write_text(changed)
    assert "manifest" in in_process(project)


def in_process(project: Path) -> str:
    """The one sentence with which the manifest is refused."""
    sys.path.insert(0, str(resource("hw_sim")))
    import manifest
    from errors import BadFolder

    with pytest.raises(BadFolder) as caught:
        manifest.load(project)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize("text, why", [
    ("[" * 200_000, "nested too deeply"), ('{"a":' * 200_000, "nested too deeply"), ("", "cannot be read"),
    ("[]", "no JSON object"), ("\0", "cannot be read"), ('{"schema": 2}', "schema 2"),
    ('{"schema": "' + "x" * 1000 + '"}', "schema"), ('{"schema": 3, "name": "\\ud800"}', "cannot be read")])
def test_a_manifest_that_is_none_is_one_sentence(project: Path, text: str, why: str):
    (project / "manifest.json").write_text(text)
    assert why in refused(project)


def test_a_manifest_of_hundreds_of_megabytes_is_not_read(project: Path):
    os.truncate(project / "manifest.json", 300 << 20)
    assert "is the most supported" in refused(project)


# -- vectors -----------------------------------------------------------------------------------------------------------

def header(descr: str = "'|i1'", shape: str = "(80, 4)", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


BODY = bytes(320)
DAMAGED = {
    "empty": b"", "magic alone": b"\x93NUMPY", "no magic": BODY, "no body": header(), "short body": header() + BODY[1:],
    "long body": header() + BODY + b"\0", "unclosed": header(shape="(80, 4") + BODY,
    "token error": header(shape='("""') + BODY, "a call": header(shape="(print(1), 4)") + BODY,
    "bool shape": header(shape="(True, 4)") + BODY, "negative": header(shape="(-80, -4)") + BODY,
    "2^40": header(shape=f"({2**40}, 4)") + BODY, "2^70": header(shape=f"({2**70}, 4)") + BODY,
    "objects": header("'|O'") + BODY, "bools": header("'|b1'") + BODY, "floats": header("'<f8'") + BODY,
    "structure": header("[('a', '|i1')]") + BODY, "pickle": header("'|O'") + b"\x80\x04N.",
    "fortran": header(order="True") + BODY, "flat": header(shape="(320,)") + BODY, "scalar": header(shape="()") + BODY,
    "other shape": header(shape="(4, 80)") + BODY, "version 3": b"\x93NUMPY\x03" + header()[7:] + BODY,
    "huge header": b"\x93NUMPY\x01\x00\xff\xff" + b" " * 65535 + BODY, "deep": header("(" * 4000) + BODY,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_vector_file_is_one_sentence(project: Path, data: bytes):
    sys.path.insert(0, str(resource("hw_sim")))
    import npy
    from errors import BadFolder

    path = project / "vectors" / "random_in.npy"
    path.write_bytes(data)
    with pytest.raises(BadFolder, match=r"random_in\.npy") as caught:
        npy.read(path, np.dtype("i1"), 80, 4)
    assert "\n" not in str(caught.value)


def test_a_whole_vector_file_is_read_as_it_was_written(tmp_path: Path):
    sys.path.insert(0, str(resource("hw_sim")))
    import npy

    for kind in ("i1", "u1", "<i2", "<u4", "<i8"):
        data = np.arange(12).reshape(3, 4).astype(kind)
        np.save(tmp_path / "x.npy", data)
        found = npy.read(tmp_path / "x.npy", np.dtype(kind), 3, 4)
        assert found.dtype == data.dtype and (found == data).all()


def test_a_damaged_vector_file_in_a_project_ends_with_2(project: Path):
    (project / "vectors" / "random_in.npy").write_bytes(DAMAGED["token error"])
    assert "random_in.npy" in refused(project, "--target", "c")


@pytest.mark.parametrize("change", ["missing", "cut", "one digit", "a letter"])
def test_a_hex_file_that_is_missing_or_damaged_ends_with_2(project: Path, change: str):
    path = project / "vectors" / "random_in.hex"
    data = path.read_bytes()
    path.unlink()
    if change != "missing":
        path.write_bytes({"cut": data[:-7], "one digit": data[:-1], "a letter": b"g" + data[1:]}[change])
    assert "random_in.hex" in refused(project, "--target", "verilog")
