"""Output folders: whole or not at all, and never over something that is not ours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import MARKER, check_ours, output_folder


def write(out: Path, **files: str) -> Path:
    with output_folder(out) as fresh:
        for name, text in files.items():
            (fresh / name).write_text(text)
    return out


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def disk_full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refused(out: Path) -> str:
    with pytest.raises(InputError) as caught:
        write(out, new="new")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_marker_lists_every_file_of_the_folder(tmp_path):
    with output_folder(tmp_path / "out") as fresh:
        (fresh / "sub").mkdir()
        (fresh / "sub" / "b").touch()
        (fresh / "a").touch()
    assert (tmp_path / "out" / MARKER).read_text() == "a\nsub/b\n"


def test_missing_parents_are_made(tmp_path):
    assert contents(write(tmp_path / "a" / "b" / "out", f="x"))["f"] == "x"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    assert contents(write(tmp_path / "out", f="x"))["f"] == "x"


def test_others_may_read_the_folder(tmp_path):
    assert write(tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_a_relative_path_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("out"), f="x")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_name_of_200_characters_will_do(tmp_path):
    assert contents(write(tmp_path / ("n" * 200), f="x"))["f"] == "x"


def test_our_folder_is_replaced_and_none_of_its_old_files_stay(tmp_path):
    write(tmp_path / "out", old="old", both="old")
    assert contents(write(tmp_path / "out", both="new")) == {"both": "new", MARKER: "both\n"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def project(out: Path, place: str = ".") -> Path:
    """A folder of ours with a project in it that was simulated."""
    with output_folder(out) as fresh:
        (fresh / place / "sim").mkdir(parents=True)
        (fresh / place / "manifest.json").write_text("{}")
        (fresh / place / "sim" / "run.py").touch()
    build = out / place / "build"
    (build / "sim" / "deep").mkdir(parents=True)
    for name in (MARKER, ".lock", "junit.xml", "sim/bench", "sim/deep/log.txt"):
        (build / name).touch()
    (build / MARKER).write_text(".lock\njunit.xml\nsim/bench\nsim/deep/log.txt\n")
    return out


@pytest.mark.parametrize("place", [".", "hardware", "a/b"])
def test_what_simulating_our_project_left_goes_with_it(tmp_path, place):
    out = project(tmp_path / "out", place)
    (out / place / "sim" / "__pycache__").mkdir()
    for name in ("run.cpython-311.pyc", "run.cpython-312.opt-1.pyc"):
        (out / place / "sim" / "__pycache__" / name).touch()
    assert contents(write(out, f="x")) == {"f": "x", MARKER: "f\n"}


def test_what_a_killed_simulation_left_goes_with_it(tmp_path):
    out = project(tmp_path / "out")
    (out / "build" / MARKER).write_text(".lock\njunit.xml\nsim/\n")
    assert contents(write(out, f="x")) == {"f": "x", MARKER: "f\n"}


@pytest.mark.parametrize("name", [
    "build/notes", "build/sim/notes", "build/sim/deep/log.txt/x", "sim/build/notes", "build/build/notes",
    "hardware/build/notes", "__pycache__/notes", "sim/__pycache__/notes.pyc", "sim/__pycache__/mine.cpython-311.pyc",
    "sim/__pycache__/run.cpython-311.pyc.bak", "build/__pycache__/x.pyc", ".hidden", "build/.hidden"])
def test_a_users_file_below_ours_is_never_lost(tmp_path, name):
    out = project(tmp_path / "out")
    if "log.txt/" in name:
        (out / "build/sim/deep/log.txt").unlink()
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    before = contents(out)
    assert f"'{name}'" in refused(out)
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]


def test_a_list_in_a_folder_called_build_that_belongs_to_no_project_counts_for_nothing(tmp_path):
    out = write(tmp_path / "out", f="x")
    (out / "build").mkdir()
    (out / "build" / MARKER).write_text("notes\n")
    (out / "build" / "notes").write_text("mine")
    refused(out)


@pytest.mark.parametrize("place", ["f", "sub/link", "build"])
@pytest.mark.parametrize("to", ["a file", "a folder", "nothing"])
def test_a_link_is_a_users_and_is_neither_followed_nor_removed(tmp_path, place, to):
    out = project(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    if place == "build":
        import shutil

        shutil.rmtree(out / "build")
    (out / place).parent.mkdir(exist_ok=True)
    (out / place).symlink_to({"a file": tmp_path / "mine" / "file", "a folder": tmp_path / "mine",
                              "nothing": tmp_path / "nowhere"}[to])
    refused(out)
    assert (out / place).is_symlink() and contents(tmp_path / "mine") == {"file": "mine"}


def test_an_output_that_is_a_link_to_a_folder_of_ours_is_written_where_it_points(tmp_path):
    there = write(tmp_path / "disk" / "there", f="old")
    (tmp_path / "out").symlink_to(there, target_is_directory=True)
    write(tmp_path / "out", f="new")
    assert (tmp_path / "out").is_symlink() and contents(there)["f"] == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "out"]


@pytest.mark.parametrize("before", ["missing", "empty", "ours"])
def test_a_file_that_is_put_there_meanwhile_is_kept_and_so_is_what_was_made(tmp_path, before):
    out = tmp_path / "out"
    if before == "ours":
        write(out, f="old")
    elif before == "empty":
        out.mkdir()
    with pytest.raises(InputError, match=r"'notes'.*meanwhile.*is in '.*out\.1'|not empty.*meanwhile"), \
            output_folder(out) as fresh:
        (fresh / "f").write_text("new")
        out.mkdir(exist_ok=True)
        (out / "notes").write_text("mine")
    assert contents(out)["notes"] == "mine" and contents(tmp_path / "out.1") == {"f": "new", MARKER: "f\n"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.1"]


def test_a_file_that_is_put_there_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    """After the folder was looked at, before it is moved away."""
    out, rename = write(tmp_path / "out", f="old"), Path.rename

    def late(self, target):
        if self == out:
            (out / "notes").write_text("mine")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert "out.1" in refused(out)
    assert contents(out) == {"f": "old", "notes": "mine", MARKER: "f\n"}
    assert contents(tmp_path / "out.1")["new"] == "new"


HOLD = """
import sys, time
from pathlib import Path
from toolkit.utils.output_folder import output_folder
with output_folder(sys.argv[1]) as fresh:
    (fresh / "half").write_text("written")
    if sys.argv[2:] == ["moved"]:  # killed between the two moves
        Path(sys.argv[1]).rename(fresh.parent / "was")
    print("ready", flush=True)
    time.sleep(600)
"""


def holding(out: Path, *more: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(out), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_run_left_is_removed_by_the_next_one_of_the_same_output(tmp_path):
    out = write(tmp_path / "out", f="old")
    for other in (out, tmp_path / "other"):
        process = holding(other)
        process.kill()
        process.wait()
    (tmp_path / ".out.mine").mkdir()
    (tmp_path / ".out.mine" / "notes").write_text("mine")
    assert len(list(tmp_path.glob(".out.*"))) == 2
    write(out, f="new")
    assert [p.name for p in tmp_path.glob(".out.*")] == [".out.mine"]
    assert len(list(tmp_path.glob(".other.*"))) == 1


def test_a_run_that_lives_keeps_its_folder_when_another_one_of_the_same_output_ends(tmp_path):
    process = holding(tmp_path / "out")
    try:
        left = next(tmp_path.glob(".out.*"))
        write(tmp_path / "out", f="new")
        assert (left / "new" / "half").read_text() == "written"
    finally:
        process.kill()
        process.wait()


def test_a_folder_that_a_killed_run_had_moved_away_comes_back(tmp_path):
    out = write(tmp_path / "out", f="old")
    process = holding(out, "moved")
    process.kill()
    process.wait()
    assert not out.exists()
    with pytest.raises(ValueError), output_folder(out):
        assert contents(out)["f"] == "old"
        raise ValueError
    assert contents(out)["f"] == "old" and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("text", ["", "x", "[]", '{"output": 5}', '{"output": "zz"}', "[" * 4000])
def test_a_folder_that_only_looks_like_ours_stays(tmp_path, text):
    (tmp_path / ".out.mine").mkdir()
    (tmp_path / ".out.mine" / "lock").write_text(text)
    write(tmp_path / "out", f="x")
    assert (tmp_path / ".out.mine" / "lock").read_text() == text


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years")
    assert "not written by shiftwright" in refused(out)
    assert contents(out) == {"thesis.tex": "years"} and list(tmp_path.iterdir()) == [out]


def test_a_foreign_file_deep_in_our_folder_is_named_and_kept(tmp_path):
    out = write(tmp_path / "out", f="x")
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "notes").write_text("mine")
    assert "deep/er/notes" in refused(out)
    assert contents(out)["deep/er/notes"] == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    assert "not a folder" in refused(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_link_to_nowhere_is_refused(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()


def test_a_file_in_the_place_of_a_parent_is_refused(tmp_path):
    (tmp_path / "parent").write_text("mine")
    refused(tmp_path / "parent" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["parent"]


def test_a_marker_that_is_no_text_is_refused(tmp_path):
    out = write(tmp_path / "out", f="x")
    (out / MARKER).write_bytes(b"\xff\xfe")
    refused(out)


def test_the_old_folder_stands_until_the_new_one_is_whole(tmp_path):
    out = write(tmp_path / "out", f="old")
    with output_folder(out) as fresh:
        (fresh / "f").write_text("new")
        assert contents(out)["f"] == "old"
    assert contents(out)["f"] == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_a_body_that_raises_leaves_nothing(tmp_path, error):
    with pytest.raises(error), output_folder(tmp_path / "out") as fresh:
        (fresh / "half").write_text("written")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_raises_leaves_our_old_folder_as_it_was(tmp_path):
    out = write(tmp_path / "out", f="old")
    before = contents(out)
    with pytest.raises(ValueError), output_folder(out) as fresh:
        (fresh / "f").write_text("new")
        raise ValueError
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]


def test_a_disk_that_fills_in_the_body_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", disk_full)
    assert "No space left" in refused(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_at_the_marker_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="No space left"), output_folder(tmp_path / "out") as fresh:
        (fresh / "f").write_text("x")
        monkeypatch.setattr(Path, "write_text", disk_full)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_start_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.utils.output_folder.tempfile.mkdtemp", disk_full)
    assert "No space left" in refused(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    out = write(tmp_path / "out", f="old")
    before, rename, calls = contents(out), Path.rename, []

    def second_fails(self, target):
        calls.append(self)
        return disk_full() if len(calls) == 2 else rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    assert "No space left" in refused(out)
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]


def test_checking_a_folder_changes_nothing(tmp_path):
    out = write(tmp_path / "out", f="x")
    before = contents(out)
    check_ours(out)
    check_ours(tmp_path / "missing")
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]
