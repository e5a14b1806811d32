"""Output folders: whole or not at all, and never over something that is not ours."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from toolkit.errors import InputError
from toolkit.folder import MARKER, check_ours, output_folder


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


def test_what_running_our_project_left_goes_with_it(tmp_path):
    write(tmp_path / "out", f="x")
    (tmp_path / "out" / "build").mkdir()
    (tmp_path / "out" / "build" / "sim.o").touch()
    assert "build/sim.o" not in contents(write(tmp_path / "out", f="x"))


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
    monkeypatch.setattr("toolkit.folder.tempfile.mkdtemp", disk_full)
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
