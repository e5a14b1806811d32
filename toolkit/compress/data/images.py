"""Data from a folder of images: one subfolder a class, or train/, val/ and test/ with one subfolder a class each."""

from __future__ import annotations

import os
import warnings
from math import prod
from pathlib import Path

import numpy as np

from toolkit.compress.data.arrays import PER_BYTE, SPARE, Arrays, named_classes
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_VALUE
from toolkit.utils.progress import bar

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")
"""What Pillow may take a file for, whatever its name is."""
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of folders that hold a part of the samples."""
MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB", "RGBX": "RGB",
         "CMYK": "RGB", "YCbCr": "RGB"}
"""What an image of each of Pillow's modes is read as: grey or red, green, blue."""
CHANNELS = {"L": 1, "RGB": 3}
IGNORED = ("thumbs.db", "desktop.ini")
MAX_FILES = 1 << 22


def read_images(folder: Path) -> Arrays:
    """uint8 images (n, channels, height, width), the channels 1 (grey) or 3 (red, green, blue), and int64 classes (n,)
    that are the sorted names of the subfolders. Where the subfolders are train and perhaps val (or valid, validation)
    and test, the classes are theirs.

    Every image must have the size and the channels of the first; transparency is dropped. Sizes are checked before
    anything is unpacked. No link is followed out of the folder, and none to a folder. Raises InputError, with the file.
    """
    inside = folder.resolve()
    top = _folders(folder, inside)
    parts = {"": top}
    if "train" in {f.name.lower() for f in top} and all(f.name.lower() in PARTS for f in top) \
            and all(_folders(f, inside) for f in top):
        parts = {}
        for one in top:
            name = PARTS[one.name.lower()]
            if name in parts:
                raise InputError(f"the data folder '{folder}' has two folders of {name} samples; leave one")
            parts[name] = _folders(one, inside)
    paths, labels = _listed(parts, folder, inside)
    reader = _Reader(sum(path.stat().st_size for files in paths.values() for path in files))
    with bar("reading images", sum(map(len, paths.values()))) as advance:
        images = {}
        for part, files in paths.items():
            images[part] = reader.room_for(files)
            for i, path in enumerate(files):
                images[part][i] = reader.read(path)
                advance()
    named, classes = named_classes({_key("y", part): names for part, names in labels.items()})
    notes = ("transparency of the images was dropped",) if reader.transparent else ()
    return Arrays({**{_key("x", part): x for part, x in images.items()}, **named}, classes, notes)


def _key(name: str, part: str) -> str:
    return f"{name}_{part}" if part else name


def _listed(parts: dict[str, list[Path]], folder: Path,
            inside: Path) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """The files of each part, and the name of the class of each file."""
    paths: dict[str, list[Path]] = {}
    labels: dict[str, list[str]] = {}
    for part, classes in parts.items():
        paths[part], labels[part] = [], []
        for one in classes:
            files = _images(one, inside)
            paths[part] += files
            labels[part] += [one.name] * len(files)
            if sum(map(len, paths.values())) > MAX_FILES:
                raise InputError(f"the data folder '{folder}' holds more than {MAX_FILES:,} images, which is the most "
                                 "supported")
    return paths, labels


def _entries(folder: Path, inside: Path) -> list[Path]:
    """What a folder holds, sorted by name, hidden files left out. Raises InputError for a link out of `inside`."""
    try:
        found = sorted(Path(entry.path) for entry in os.scandir(folder)
                       if not entry.name.startswith(".") and entry.name.lower() not in IGNORED)
    except OSError as error:
        raise InputError(f"the data folder '{folder}' cannot be read: {error.strerror or error}") from error
    for path in found:
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(inside)):
            where = "to a folder" if path.is_dir() else "out of the data folder"
            raise InputError(f"'{path}' is a link {where}, which is not followed; copy what it leads to")
    return found


def _folders(folder: Path, inside: Path) -> list[Path]:
    return [path for path in _entries(folder, inside) if path.is_dir()]


def _images(folder: Path, inside: Path) -> list[Path]:
    """The images of one class."""
    found = _entries(folder, inside)
    for path in found:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            what = "a folder" if path.is_dir() else "no image that is read here"
            raise InputError(f"'{path}' in a folder of images by class is {what}; such a folder holds {SUFFIXES[0]}, "
                             f"{', '.join(SUFFIXES[1:-1])} or {SUFFIXES[-1]} files and nothing else")
    if not found:
        raise InputError(f"the class folder '{folder}' holds no image; take it out, or put images into it")
    return found


class _Reader:
    """Reads images that are all alike, and no more numbers than their files of `size` bytes together may hold."""

    def __init__(self, size: int) -> None:
        self.left = SPARE + PER_BYTE * size
        self.like: tuple[str, tuple[int, int], Path] | None = None
        self.transparent = False

    def room_for(self, paths: list[Path]) -> np.ndarray:
        """An empty array (n, channels, height, width) for so many images, all like the first one of all."""
        if self.like is None:
            self._open(paths[0]).close()
        assert self.like is not None
        mode, (width, height), _ = self.like
        shape = len(paths), CHANNELS[mode], height, width
        self.left -= prod(shape)
        if self.left < 0:
            raise InputError(f"the images unpack to too much, at '{paths[0].parent}': more than {PER_BYTE} numbers for "
                             "each byte of their files")
        return np.empty(shape, np.uint8)

    def read(self, path: Path) -> np.ndarray:
        """uint8 (channels, height, width)."""
        with self._open(path) as image:
            assert self.like is not None
            mode = self.like[0]
            self.transparent |= image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
            try:
                pixels = np.asarray(image if image.mode == mode else image.convert(mode), np.uint8)
            except Exception as error:  # Pillow lets its decoders raise what they like
                raise InputError(f"the image '{path}' is damaged: {_sentence(error)}") from error
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def _open(self, path: Path):  # Pillow, and so its type, is imported where it is needed
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(path, formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(f"the image '{path}' has far too many pixels; {MAX_VALUE:,} numbers a sample are the most "
                             "supported") from error
        except OSError as error:
            why = error.strerror or "it is no .png, .jpg or .bmp file"
            raise InputError(f"the image '{path}' cannot be read: {why}") from error
        except Exception as error:  # Pillow lets its parsers raise what they like
            raise InputError(f"the image '{path}' is damaged: {_sentence(error)}") from error
        try:
            self._check(path, image.mode, image.size)
        except InputError:
            image.close()
            raise
        return image

    def _check(self, path: Path, pillows_mode: str, size: tuple[int, int]) -> None:
        mode = MODES.get(pillows_mode)
        if mode is None:
            raise InputError(f"the image '{path}' has pixels of the kind '{pillows_mode}'; 8 bits a channel, grey or "
                             "red, green and blue, are supported")
        if CHANNELS[mode] * size[0] * size[1] > MAX_VALUE:
            raise InputError(f"the image '{path}' has {size[0]:,} x {size[1]:,} pixels; {MAX_VALUE:,} numbers a sample "
                             "are the most supported")
        self.like = self.like or (mode, size, path)
        for what, here, there in (("size", size, self.like[1]), ("kind", mode, self.like[0])):
            if here != there:
                told = [f"{one[0]} x {one[1]} pixels" if what == "size" else "grey" if one == "L" else "in colour"
                        for one in (here, there)]
                raise InputError(f"the image '{path}' is {told[0]}, but '{self.like[2]}' is {told[1]}; all images must "
                                 "be alike: convert them first")


def _sentence(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]
