"""`--data`: every format that is read, what is refused in one sentence, and bytes that stay bytes down to the C."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import refused, run
from forked import endings
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from toolkit.api import Data, Design, Settings, build, compress, normalised
from toolkit.compress.data.split import in_three
from toolkit.compress.normalise import parse
from toolkit.report.data import data_text
from toolkit.utils.errors import InputError

QUICK = Settings(qat_epochs=0, finetune_epochs=0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = np.arange(60) % 3


def rows_of(data: Data) -> dict[tuple[float, ...], int]:
    """Every sample of the three sets, with its label."""
    found = {}
    for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test)):
        assert y is not None
        found.update({tuple(row): label for row, label in zip(x.reshape(len(x), -1).tolist(), y.tolist(), strict=True)})
    return found


def all_of(x: np.ndarray = X, y: np.ndarray = Y) -> dict[tuple[float, ...], int]:
    return {tuple(row): label for row, label in zip(x.reshape(len(x), -1).tolist(), y.tolist(), strict=True)}


def why(source: object, words: str, **options: str) -> str:
    """The one sentence by which data are refused."""
    with pytest.raises(InputError, match=words) as caught:
        Data.load(str(source), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# x and y without a split


def test_x_and_y_are_split_in_three_by_a_fixed_seed_and_a_note_says_so(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    data, again = (Data.load(tmp_path / "d.npz") for _ in range(2))
    assert [len(x) for x in (data.x_train, data.x_val, data.x_test)] == [36, 12, 12]
    assert rows_of(data) == all_of() and len(all_of()) == 60
    assert np.array_equal(data.x_test, again.x_test) and np.array_equal(data.x_val, again.x_val)
    note, = data.notes
    assert note == ("x and y come without a split: 36 samples are to train on, 12 to make choices by and 12 to report "
                    "on (as many of each class as its share, drawn by seed 0)")


def test_each_set_has_each_class_by_its_share():
    y = np.repeat([0, 1, 2], [100, 50, 10])
    parts = in_three(y, 160, 0)
    assert parts is not None
    assert [np.bincount(y[part]).tolist() for part in parts] == [[60, 30, 6], [20, 10, 2], [20, 10, 2]]
    assert np.array_equal(sum(part.astype(int) for part in parts), np.ones(160))


def test_a_class_of_one_sample_is_trained_on():
    y = np.array([0] * 30 + [1])
    parts = in_three(y, 31, 0)
    assert parts is not None and y[parts[0]].max() == 1 and not y[parts[1]].any() and not y[parts[2]].any()


def test_samples_without_labels_and_too_few_samples_are_not_split_in_three(tmp_path):
    np.savez(tmp_path / "x.npz", x=X)
    assert len(Data.load(tmp_path / "x.npz").x_test) == 60
    assert len(Data.split(X[:2], Y[:2]).x_test) == 2


def test_values_and_bits_are_split_too():
    values = Data.split(X, RNG.normal(size=(60, 2)))
    bits = Data.split(X, RNG.integers(0, 2, (60, 3)))
    assert [len(d.x_test) for d in (values, bits)] == [12, 12] and (values.task, bits.task) == ("values", "bits")
    assert "drawn by seed 0)" in values.notes[0] and "class" not in values.notes[0]


# one-hot labels


def test_rows_with_a_single_1_are_classes_and_a_note_says_so():
    data = Data.split(X, np.eye(3)[Y])
    assert data.task == "classes" and rows_of(data) == all_of()
    assert "rows with a single 1: they are taken as classes (--task bits: as bits)" in data.notes[-1]


def test_rows_with_a_single_1_are_bits_where_the_task_says_so():
    data = Data.split(X, np.eye(3)[Y], "bits")
    assert data.task == "bits" and data.y_train is not None and data.y_train.shape == (36, 3)
    assert not any("single 1" in note for note in data.notes)


def test_rows_where_one_has_no_1_or_two_are_bits():
    for row in ([0, 0, 0], [1, 1, 0]):
        y = np.eye(3)[Y]
        y[7] = row
        assert Data.split(X, y).task == "bits"


# .npy


def test_a_pair_of_npy_files_are_samples_and_labels(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", Y)
    assert rows_of(Data.load(f"{tmp_path}/a.npy,{tmp_path}/b.npy")) == all_of()
    assert Data.load(tmp_path / "a.npy").task == "none"


def test_a_folder_of_npy_files_holds_them_by_name(tmp_path):
    for name, array in (("x_train", X[:40]), ("y_train", Y[:40]), ("x_test", X[40:]), ("y_test", Y[40:])):
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "README.txt").write_text("about them")
    data = Data.load(tmp_path)
    assert np.array_equal(data.x_test, X[40:]) and len(data.x_train) + len(data.x_val) == 40
    np.save(tmp_path / "weights.npy", X)
    why(tmp_path, "holds 'weights', which is not understood")


def test_npy_files_of_two_lengths_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", Y[:-1])
    why(f"{tmp_path}/a.npy,{tmp_path}/b.npy", r"y must hold one label .* for each of 60 samples, not int64 of shape")


def test_npy_files_of_objects_or_of_a_size_that_they_do_not_have_are_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}, [2]], dtype=object), allow_pickle=True)
    why(tmp_path / "p.npy", "which is not a number that is supported here")
    np.save(tmp_path / "h.npy", X)
    data = (tmp_path / "h.npy").read_bytes()
    (tmp_path / "h.npy").write_bytes(data.replace(b"(60, 5)", b"(9999999999, 9999999999)".ljust(7))[:len(data)])
    why(tmp_path / "h.npy", "declares the shape|header")
    why(f"{tmp_path}/p.npy,{tmp_path}/h.npz", "is no pair of .npy files")
    why(tmp_path / "none.npy", "does not exist")


# .csv


def table(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def written(labels: list[str], head: str = "a,b,c,d,e,label", delimiter: str = ",") -> str:
    lines = [head, *(",".join([*map(repr, row), label]) for row, label in zip(X.tolist(), labels, strict=True))]
    return "\n".join(lines).replace(",", delimiter) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_a_row_a_sample_and_a_column_of_labels(tmp_path, delimiter):
    data = Data.load(table(tmp_path, written([str(y) for y in Y], delimiter=delimiter)))
    assert rows_of(data) == all_of() and data.task == "classes" and data.classes == ()


@pytest.mark.parametrize("name", ["y", "Class", "target", "LABEL"])
def test_the_column_of_labels_is_found_by_its_usual_names(tmp_path, name):
    assert rows_of(Data.load(table(tmp_path, written([str(y) for y in Y], f"a,b,c,d,e,{name}")))) == all_of()


def test_the_column_of_labels_can_be_named(tmp_path):
    path = table(tmp_path, written([str(y) for y in Y], "label,b,c,d,e,kind"))
    assert rows_of(Data.load(path, label_column="kind")) == all_of()
    why(path, "has 3 cells|no column 'colour' for --label-column; its columns are 'label', 'b'", label_column="colour")


def test_a_table_without_labels_must_be_told_so(tmp_path):
    path = table(tmp_path, written([str(y) for y in Y], "a,b,c,d,e,f"))
    assert "--label-column none" in why(path, "has no column label, y, class or target")
    data = Data.load(path, label_column="none")
    assert data.sample_shape == (6,) and data.task == "none"


def test_a_table_with_two_columns_that_may_hold_the_labels_is_refused(tmp_path):
    path = table(tmp_path, written([str(y) for y in Y], "a,b,c,d,y,label"))
    why(path, "several columns .* 'y', 'label'; name the one")


def test_labels_that_are_text_become_classes_in_sorted_order_and_keep_their_names(tmp_path):
    names = ["wave", "push", "circle"]
    data = Data.load(table(tmp_path, written([names[y] for y in Y])))
    assert data.classes == ("circle", "push", "wave") and data.described()["classes"] == ["circle", "push", "wave"]
    assert rows_of(data) == all_of(X, np.array([2, 1, 0])[Y])
    why(tmp_path / "t.csv", "names of classes .* which are no values", task="values")


def test_labels_that_are_fractions_are_values(tmp_path):
    assert Data.load(table(tmp_path, written([str(y + 0.5) for y in Y]))).task == "values"


@pytest.mark.parametrize(("cell", "words"), [
    ("red", r"holds 'red', which is not a finite number in row 3, column 'b' \(the header is row 1\)"),
    ("", "holds nothing in row 3, column 'b'"), ("nan", "holds 'nan', which is not a finite"), ("1e39", "'1e39'")])
def test_a_cell_that_is_no_number_is_named_by_row_and_column(tmp_path, cell, words):
    why(table(tmp_path, f"a,b,label\n1,2,0\n3,{cell},1\n5,6,0\n"), words)


@pytest.mark.parametrize(("text", "words"), [
    ("", "is empty"), ("a,b,label\n", "no row below its header"), ("1,2,0\n3,4,1\n", "has no header"),
    ("a,label\n1,0\n1\n", "has 1 cells in row 3, and 2 columns"), ("label\n1\n", "no column but that of the labels"),
    ("a,label\n1,\n", "has no label in row 2"), ('a,label\n1,"0\n', "is no table of comma-separated values")])
def test_what_is_no_table_of_samples_is_refused(tmp_path, text, words):
    why(table(tmp_path, text), words)


def test_a_label_column_is_of_a_table(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    why(tmp_path / "d.npz", "--label-column is of a .csv table", label_column="y")


# images


def images(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 10,
           mode: str = "L") -> dict[tuple[float, ...], int]:
    """Write `count` PNGs of 6 x 4 pixels a class; their pixels, channels first, and their class."""
    found = {}
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = RNG.integers(0, 256, (4, 6) if mode == "L" else (4, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")
            first = pixels if mode == "L" else pixels.transpose(2, 0, 1)
            found[tuple(first.reshape(-1).astype(float).tolist())] = label
    return found


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_folder_of_images_by_class_is_bytes_channels_first(tmp_path, mode, channels):
    due = images(tmp_path, mode=mode)
    data = Data.load(tmp_path)
    assert data.raw and data.sample_shape == (channels, 4, 6) and data.classes == ("cat", "dog")
    assert rows_of(data) == due


def test_folders_called_train_val_and_test_are_parts(tmp_path):
    due = {part: images(tmp_path / part) for part in ("train", "validation", "test")}
    (tmp_path / "train" / ".DS_Store").write_text("")
    data = Data.load(tmp_path)
    for part, x in (("train", data.x_train), ("validation", data.x_val), ("test", data.x_test)):
        assert {tuple(row) for row in x.reshape(len(x), -1).tolist()} == set(due[part])


def test_classes_that_are_called_train_and_test_are_classes(tmp_path):
    images(tmp_path, ("test", "train"))
    assert Data.load(tmp_path).classes == ("test", "train")


def test_an_image_that_is_not_like_the_others_is_named(tmp_path):
    images(tmp_path)
    odd = tmp_path / "dog" / "05.png"
    Image.new("L", (7, 4)).save(odd)
    assert str(odd) in why(tmp_path, "is 7 x 4 pixels, but .* is 6 x 4 pixels; all images must be alike")
    Image.new("RGB", (6, 4)).save(odd)
    assert str(odd) in why(tmp_path, "is in colour, but .* is grey")
    Image.new("I;16", (6, 4)).save(odd)
    assert str(odd) in why(tmp_path, "8 bits a channel")


def test_palettes_are_colours_and_transparency_is_dropped_with_a_note(tmp_path):
    images(tmp_path, mode="RGB")
    Image.new("P", (6, 4)).save(tmp_path / "cat" / "00.png")
    Image.new("RGBA", (6, 4), (9, 8, 7, 0)).save(tmp_path / "cat" / "01.png")
    data = Data.load(tmp_path)
    assert data.sample_shape == (3, 4, 6) and "transparency of the images was dropped" in data.notes


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    images(tmp_path)
    (tmp_path / "cat" / "00.png").write_bytes(content)
    assert "cat/00.png" in why(tmp_path, "cannot be read|damaged")


def test_a_file_of_another_format_is_not_read_whatever_its_name_is(tmp_path):
    images(tmp_path)
    Image.new("L", (6, 4)).save(tmp_path / "cat" / "00.png", "TIFF")
    why(tmp_path, r"00.png' cannot be read: it is no .png, .jpg or .bmp file")


def test_a_truncated_image_is_named(tmp_path):
    images(tmp_path)
    path = tmp_path / "dog" / "03.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert "dog/03.png" in why(tmp_path, "is damaged")


def test_a_class_folder_holds_images_and_nothing_else(tmp_path):
    images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("")
    why(tmp_path, r"notes.txt' in a folder of images by class is no image")
    (tmp_path / "cat" / "notes.txt").unlink()
    (tmp_path / "emu").mkdir()
    why(tmp_path, "the class folder '.*emu' holds no image")


def test_links_are_not_followed_out_of_the_folder(tmp_path):
    images(tmp_path / "in")
    images(tmp_path / "out")
    (tmp_path / "in" / "dog" / "99.png").symlink_to(tmp_path / "out" / "dog" / "00.png")
    why(tmp_path / "in", r"99.png' is a link out of the data folder")
    (tmp_path / "in" / "dog" / "99.png").unlink()
    (tmp_path / "in" / "emu").symlink_to(tmp_path / "out" / "dog")
    why(tmp_path / "in", r"emu' is a link to a folder")
    (tmp_path / "in" / "emu").unlink()
    (tmp_path / "in" / "emu").symlink_to(tmp_path / "in" / "dog")
    why(tmp_path / "in", r"emu' is a link to a folder")
    (tmp_path / "in" / "emu").unlink()
    (tmp_path / "in" / "dog" / "99.png").symlink_to(tmp_path / "in" / "dog" / "00.png")
    assert len(Data.load(tmp_path / "in").x_train) == 13


def test_a_folder_of_neither_is_refused_with_the_way_out(tmp_path):
    why(tmp_path, "holds neither x_train.npy")
    Image.new("L", (6, 4)).save(tmp_path / "a.png")
    why(tmp_path, "no folder for each class")
    images(tmp_path)
    np.save(tmp_path / "x.npy", X)
    why(tmp_path, "beside each other")


# package.module:callable


class Numbered(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 60

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(X[i]), int(Y[i])


def tensors() -> TensorDataset:
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


RETURNED: dict[str, Callable[[], object]] = {
    "a pair of arrays": lambda: (X, Y), "a pair of tensors": lambda: tensors().tensors,
    "a TensorDataset": tensors, "a Dataset": lambda: Numbered(), "a dict of x and y": lambda: {"x": X, "y": Y},
    "a loader": lambda: DataLoader(tensors(), batch_size=7),
    "a loader that shuffles": lambda: DataLoader(Numbered(), batch_size=7, shuffle=True, drop_last=True),
    "a loader without batches": lambda: DataLoader(Numbered(), batch_size=None),
    "Data": lambda: Data.split(X, Y),
}


@pytest.fixture
def returning(monkeypatch) -> Callable[[object], str]:
    """A function's name on the command line, which returns the given thing."""
    def name(made: object) -> str:
        module = type(sys)("data_of_mine")
        module.made = made if callable(made) and not isinstance(made, type) else (lambda: made)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "data_of_mine", module)
        return "data_of_mine:made"
    return name


@pytest.mark.parametrize("kind", RETURNED)
def test_a_function_returns_data_in_any_usual_form_and_order_does_not_matter(returning, kind):
    data, again = (Data.load(returning(RETURNED[kind])) for _ in range(2))
    assert rows_of(data) == all_of() and len(data.x_test) == 12
    assert np.array_equal(data.x_train, again.x_train) and np.array_equal(data.x_test, again.x_test)


def test_a_loader_of_a_part_of_its_data_set_gives_that_part(returning):
    loader = DataLoader(Numbered(), batch_size=7, sampler=SubsetRandomSampler(list(range(30))))
    assert rows_of(Data.load(returning(lambda: loader))) == all_of(X[:30], Y[:30])


def test_two_or_three_data_sets_are_parts(returning):
    parts = [TensorDataset(torch.from_numpy(X[i:i + 20]), torch.from_numpy(Y[i:i + 20])) for i in (0, 20, 40)]
    three = Data.load(returning(lambda: tuple(parts)))
    assert np.array_equal(three.x_val, X[20:40]) and np.array_equal(three.x_test, X[40:])
    two = Data.load(returning(lambda: [DataLoader(part) for part in parts[:2]]))
    assert np.array_equal(two.x_test, X[20:40]) and len(two.x_train) == 16
    named = Data.load(returning(lambda: {"train": parts[0], "test": (X[40:], Y[40:])}))
    assert np.array_equal(named.x_test, X[40:])


def test_text_labels_of_a_function_are_names_of_classes(returning):
    assert Data.load(returning(lambda: (X, np.array(["b", "a", "c"])[Y]))).classes == ("a", "b", "c")


def test_what_a_function_returns_or_raises_is_told(returning):
    why(returning(lambda: 3), r"'data_of_mine:made' gives int; a Data, a TensorDataset")
    why(returning(lambda: 1 / 0), "'data_of_mine:made' failed: ZeroDivisionError: division by zero")
    why(returning(lambda: {"x": X, "labels": Y}), "holds 'labels', which is not understood")
    why(returning(lambda: (X, Y[:-1])), "one label .* for each of 60 samples")
    why("data_of_mine:nothing", "has no 'nothing'")
    why("no_such_module_here:made", "cannot be imported")


def test_what_is_of_no_known_kind_is_refused_with_the_kinds_that_are(tmp_path):
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    why(tmp_path / "d.parquet", "of no kind that is read here; give an .npz file, a pair x.npy,y.npy")
    (tmp_path / "d.pt").write_bytes(b"PK")
    why(tmp_path / "d.pt", "what torch or pickle saved is never loaded")
    why(tmp_path / "none", "do not exist; give an .npz file")


# files from strangers


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of so many black pixels in little space."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(9)
    line = bytes(1 + width)
    packed = b"".join(packer.compress(line) for _ in range(min(height, 1 << 14))) + packer.flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return path


def test_hostile_data_are_refused_in_little_memory_and_time(tmp_path):
    wide = tmp_path / "wide.csv"
    wide.write_text("c," * 10**6 + "label\n")
    line = tmp_path / "line.csv"
    line.write_text("a" * (5 << 20))
    quoted = tmp_path / "quoted.csv"
    quoted.write_text('a,label\n"' + "1\n" * (1 << 19))
    cells = tmp_path / "cells.csv"
    cells.write_text("a,label\n" + "," * (1 << 20) + "\n")
    sparse = tmp_path / "sparse.csv"
    with sparse.open("wb") as stream:
        stream.truncate(1 << 40)
    huge = tmp_path / "huge.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }".ljust(117) + b"\n"
    huge.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(64))
    long = tmp_path / "long.npy"
    long.write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 0xFFFFFF00) + bytes(1 << 20))
    for name, side in (("big", 3_000), ("bigger", 11_000), ("biggest", 60_000)):
        bomb(tmp_path / name / "a" / "x.png", side, side)
    for i in range(40):
        bomb(tmp_path / "many" / "a" / f"{i}.png", 2_000, 2_000)
    bomb(tmp_path / "short" / "a" / "x.png", 2_000, 2_000).write_bytes(b"\x89PNG\r\n\x1a\n")
    folders = [tmp_path / name for name in ("big", "bigger", "biggest", "many", "short")]
    files = [wide, line, quoted, cells, sparse, huge, long, *folders]
    found = dict(zip(files, endings(files, Data.load, (InputError,)), strict=True))
    assert {path.name: one for path, one in found.items() if one.how != "refused" or not one.good} == {}
    for path, words in ((wide, "1,000,001 columns"), (line, "a line of more than"), (huge, "declares the shape"),
                        (sparse, "is of 1,099,511,627,776 bytes"), (long, "header is of"),
                        (folders[0], "3,000 x 3,000 pixels"), (folders[1], "far too many pixels"),
                        (folders[2], "far too many pixels"), (folders[3], "unpack to too much")):
        assert words in found[path].told, (path, found[path])


# bytes


class Scaled(nn.Module):
    """A convolution of images that it normalises itself."""

    def __init__(self, padding: int = 0, own: bool = True) -> None:
        super().__init__()
        self.own = own
        self.c, self.f = nn.Conv2d(2, 4, 3, padding=padding), nn.Linear(4 * (2 + 2 * padding) * (4 + 2 * padding), 3)
        self.register_buffer("mean", torch.tensor([0.4, 0.6]).reshape(1, 2, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3]).reshape(1, 2, 1, 1))

    def forward(self, x):
        x = (x.float() / 255 - self.mean) / self.std if self.own else x
        return self.f(torch.relu(self.c(x)).flatten(1))


NORMALISE = "0.4:0.6,0.2:0.3"
PAIRS = [(1 / 255 / 0.2, -0.4 / 0.2), (1 / 255 / 0.3, -0.6 / 0.3)]


def network(padding: int = 0, own: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return Scaled(padding, own).eval()


def byte_images(count: int = 90, most: int = 256) -> Data:
    rng = np.random.default_rng(1)
    return Data.split(rng.integers(0, most, (count, 2, 4, 6), dtype=np.uint8), np.arange(count) % 3)


def codes(data: Data) -> np.ndarray:
    """The test samples' bytes as the hardware takes them: channels last."""
    return np.moveaxis(data.x_test, 1, -1).astype(np.int64)


@pytest.mark.parametrize("most", [256, 40, 2], ids="bytes up to {}".format)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("own", [True, False], ids=["normalised by the model", "by --normalise"])
def test_a_byte_is_its_own_code_and_the_network_is_the_normalised_one(own, padding, most):
    model, data = network(padding, own), byte_images(most=most)
    asked = (model, data) if own else normalised(model, data, NORMALISE)
    made = compress(*asked, "int:8", QUICK)
    design = made.design
    assert design is not None and str(design.input.format) == "ufixed<8,8>" and design.input.exponents == ()
    assert np.array_equal(made.test_codes, codes(data)) and data.x_test.max() == most - 1
    with torch.no_grad():
        due = network(padding)(torch.from_numpy(data.x_test)).numpy()
    ours = np.ldexp(design.reference(codes(data)).astype(float), -design.output.format.frac)
    assert np.abs(ours - due).max() < 0.05 * np.ptp(due)


def test_the_folded_normalisation_is_recorded_in_the_design_and_told():
    made = compress(network(), byte_images(), "log2:4", QUICK)
    assert made.design is not None
    assert np.allclose(made.design.input.normalisation, PAIRS)
    assert [layer.name for layer in made.design.layers] == ["c", "flatten", "f"]
    assert any("each byte its own code; the network's normalisation (scale (0.0196" in note and
               "is folded into the layers behind it" in note for note in made.notes)


def test_a_normalisation_before_padding_is_a_layer_of_powers_of_two_that_no_format_rounds():
    made = compress(network(1), byte_images(), "log2:4", QUICK)
    assert made.design is not None and made.design.input.normalisation == ()
    first = made.design.layers[0]
    weights = first.weights.values().reshape(-1)  # type: ignore[attr-defined]
    assert np.array_equal(np.abs(np.log2(weights)) % 1, [0.0, 0.0]) and first.kind == "conv"
    assert any("because the layer behind it puts zeros around" in note and "rounded" not in note for note in made.notes)


def test_a_network_of_bytes_without_a_normalisation_is_told():
    made = compress(network(own=False), byte_images(), "log2:4", QUICK)
    assert made.design is not None and made.design.input.normalisation == ()
    assert any("has no normalisation of its input (--normalise" in note for note in made.notes)


def test_vectors_of_bytes_share_one_unit_however_their_features_differ():
    rng = np.random.default_rng(2)
    x = (rng.integers(0, 256, (90, 6)) >> np.array([0, 1, 2, 4, 6, 7])).astype(np.uint8)
    made = compress(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), Data.split(x, np.arange(90) % 3),
                    "log2:4", QUICK)
    assert made.design is not None and str(made.design.input.format) == "ufixed<8,8>"
    assert made.design.input.exponents == () and np.array_equal(made.test_codes, made.data.x_test)


def test_bytes_that_a_sum_reads_too_are_their_own_codes():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.b(self.a(x) + x)

    torch.manual_seed(0)
    x = np.random.default_rng(3).integers(0, 100, (90, 6), dtype=np.uint8)
    made = compress(Residual(), Data.split(x, np.arange(90) % 3), "log2:4", QUICK)
    assert made.design is not None and str(made.design.input.format) == "ufixed<8,8>"
    assert np.array_equal(made.test_codes, made.data.x_test)


def test_fewer_input_bits_than_a_byte_has_are_kept_and_more_are_not_needed():
    for bits, form in ((6, "ufixed<6,8>"), (12, "ufixed<8,8>")):
        widths = type(QUICK.widths)(input=bits)
        made = compress(network(), byte_images(), "log2:4", Settings(widths=widths, qat_epochs=0))
        assert made.design is not None and str(made.design.input.format) == form


def test_bytes_are_trained_in_units_in_which_training_works():
    """A step of Adam is 0.002 whatever the gradient: in units of bytes it would be as large as the weights are."""
    rng = np.random.default_rng(4)
    y = np.arange(300) % 3
    x = np.clip(60 + 60 * y[:, None] + rng.normal(0, 15, (300, 6)), 0, 255).astype(np.uint8)
    torch.manual_seed(1)
    asked = normalised(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), Data.split(x, y), "0.47,0.2")
    made = compress(*asked, "log2:4", Settings(qat_epochs=100))
    last, baseline = made.steps[-1].accuracy, made.baseline.accuracy
    assert last is not None and baseline is not None and min(last, baseline) > 0.9


def test_data_of_bytes_and_of_others_are_refused_together():
    with pytest.raises(InputError, match=r"x_train holds bytes .* but x_test holds float32; give all samples as bytes"):
        Data.of(np.arange(200, dtype=np.uint8).reshape(20, 10), np.arange(20) % 2, X[:20, :5].repeat(2, 1))


def test_data_of_bytes_are_saved_as_bytes(tmp_path):
    data = byte_images()
    data.save(tmp_path / "d.npz")
    again = Data.load(tmp_path / "d.npz")
    assert again.raw and np.array_equal(again.x_test, data.x_test) and data.without_test.raw


@pytest.mark.parametrize(("how", "found"), [
    ("unit", ((0.0,), (1.0,))), ("0.5,0.25", ((0.5,), (0.25,))), ("0.1:0.2,3", ((0.1, 0.2), (3.0,)))])
def test_a_normalisation_is_a_mean_and_a_standard_deviation(how, found):
    assert parse(how) == found


@pytest.mark.parametrize("how", ["", "0.5", "a,b", "1,2,3", "0.5,0", "0.5,-1", "nan,1", "0,inf"])
def test_what_is_no_normalisation_is_refused(how):
    with pytest.raises(InputError, match="normalisation"):
        parse(how)


def test_a_normalisation_must_fit_its_samples():
    with pytest.raises(InputError, match=r"has 3 means, and a sample of shape .2, 4, 6. has 2 channels"):
        normalised(network(), byte_images(), "0.1:0.2:0.3,1")
    with pytest.raises(InputError, match="--normalise is of raw bytes"):
        normalised(network(), Data.split(X, Y), "unit")
    graph, _ = normalised(network(), byte_images(), "unit")
    assert any("normalises its input itself, and --normalise comes before" in note for note in graph.meta["notes"])


def test_bytes_go_all_the_way_to_the_firmware(tmp_path):
    """The vectors of the C target are the bytes of the test set, and its outputs are those of the reference."""
    data = byte_images()
    built = build(network(), data, "log2:4", tmp_path / "out", settings=QUICK, targets=("c",), vectors=50)
    folder = tmp_path / "out" / "hardware"
    manifest = json.loads((folder / "manifest.json").read_text())
    taken = np.load(folder / "vectors" / "test_in.npy")
    assert taken.dtype == np.uint8 and np.array_equal(taken, codes(data).reshape(len(taken), -1))
    assert (manifest["input"]["format"], manifest["input"]["frac"]) == ("ufixed<8,8>", 0)
    assert np.allclose([[n["scale"], n["offset"]] for n in manifest["input"]["normalisation"]], PAIRS)
    design = Design.load(folder / "design.swd")
    assert np.allclose(design.input.normalisation, PAIRS)
    assert np.array_equal(np.load(folder / "vectors" / "test_out.npy").reshape(len(taken), -1),
                          design.reference(codes(data)).reshape(len(taken), -1))
    header = (folder / "c" / "network.h").read_text()
    assert "typedef uint8_t network_input_t;" in header and "The input is raw bytes" in header
    assert "raw bytes" in (folder / "README.md").read_text()
    assert built.report.ok and built.simulation is not None and built.report.to_json()["data"]["bytes"] is True


def test_a_design_whose_record_is_damaged_is_refused(tmp_path):
    from zipfile import ZipFile

    made = compress(network(), byte_images(), "log2:4", QUICK)
    assert made.design is not None
    made.design.save(tmp_path / "d.swd")
    for record in ([[1.0]], [[1, "a"]], [[1.0, 2.0]] * 5, {"a": 1}, [[1e999, 0]]):
        with ZipFile(tmp_path / "d.swd") as old, ZipFile(tmp_path / "e.swd", "w") as new:
            for name in old.namelist():
                document = old.read(name)
                if name == "design.json":
                    changed = json.loads(document)
                    changed["input"]["normalisation"] = record
                    document = json.dumps(changed).encode()
                new.writestr(name, document)
        with pytest.raises(InputError, match=r"e\.swd"):
            Design.load(tmp_path / "e.swd")


# what is told


def test_what_is_in_the_data_is_told():
    y = np.repeat([0, 1], [75, 25])
    x = np.linspace(-1, 1, 500).reshape(100, 5)
    data = Data.of(x[::2], y[::2], x[1::2], y[1::2], x_val=x[1::2], y_val=y[1::2])
    told = data.described()
    assert told["train"] == {"samples": 50, "low": -1.0, "high": pytest.approx(0.988, abs=0.01),
                             "shares": [0.76, 0.24]}
    assert (told["shape"], told["bytes"], told["task"], told["classes"]) == ([5], False, "classes", ["0", "1"])
    assert data_text(told).splitlines() == [
        "data: samples of shape 5, numbers",
        "data: labels: 2 classes and their shares",
        "data: set         samples       range       0       1",
        "data: -----------------------------------------------",
        "data: training         50  -1 .. 0.98  76.0 %  24.0 %",
        "data: validation       50  -0.98 .. 1  74.0 %  26.0 %",
        "data: test             50  -0.98 .. 1  74.0 %  26.0 %"]


def test_many_classes_are_told_in_100_columns():
    y = np.repeat(np.arange(200), np.arange(2, 202))
    lines = data_text(Data.of(RNG.normal(size=(len(y), 4)), y).described()).splitlines()
    assert max(map(len, lines)) <= 100 and all(line.startswith("data: ") for line in lines)
    assert "200 classes" in lines[1] and "199" in lines[2] and len(lines) < 25


def test_bits_values_and_no_labels_are_told():
    bits = data_text(Data.split(X, RNG.integers(0, 2, (60, 3))).described())
    values = data_text(Data.split(X, RNG.normal(size=60)).described())
    none = data_text(Data.split(X).described())
    assert "labels: bits" in bits and "ones" in bits
    assert "labels: values" in values and "range of targets" in values and "no labels" in none


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    program = torch.export.export(model, (torch.zeros(2, 5),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "m.pt2")
    (folder / "d.csv").write_text(written([("wave", "push", "circle")[y] for y in Y], "a,b,c,d,e,kind"))
    np.savez(folder / "d.npz", x=X, y=Y)
    return folder


def test_the_command_line_tells_the_data_on_stderr_and_in_json(files, tmp_path):
    options = ("--label-column", "kind", "--qat-epochs", 0, "--target", "c", "--vectors", 20, "--no-simulate")
    done = run("build", files / "m.pt2", "--data", files / "d.csv", "-o", tmp_path / "o", *options)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("data: ")]
    assert told[0] == "data: samples of shape 5, numbers" and "circle" in told[2] and "33.3 %" in told[4]
    assert any("x and y come without a split: 36 samples" in line for line in told)
    done = run("build", files / "m.pt2", "--data", files / "d.csv", "-o", tmp_path / "p", *options, "--json")
    assert "data: " not in done.stderr and json.loads(done.stdout)["data"]["classes"] == ["circle", "push", "wave"]


@pytest.mark.parametrize(("options", "words"), [
    (("--data", "d.csv"), "has no column label"), (("--data", "d.csv", "--label-column", "x"), "no column 'x'"),
    (("--data", "d.npz", "--label-column", "y"), "is of a .csv table"), (("--data", "none.txt"), "do not exist"),
    (("--data", "d.npz", "--normalise", "unit"), "--normalise is of raw bytes"),
    (("--data", "d.npz", "--normalise", "7"), "is no normalisation"), (("--normalise", "unit"), "give --data")])
def test_what_cannot_be_used_ends_with_one_sentence_and_leaves_nothing(files, tmp_path, options, words):
    done = run("build", files / "m.pt2", *options, "-o", tmp_path / "o", cwd=files)
    assert words in refused(done) and not list(tmp_path.iterdir())
