"""Reading files that nobody vouches for: zip archives, .npy arrays, JSON. Every size is checked before memory is taken.

A file of 1 MiB must not take more than 1 GiB or 5 s, whatever it says of itself: deflate grows its input a thousand
times, JSON its text twenty times, and a header costs nothing to write. So each reader has a limit, here or in its call.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from math import isfinite, prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from toolkit.utils.errors import InputError

MAX_JSON = 16 << 20
"""Bytes of one JSON text; parsed it is up to 24 times as large."""
MAX_MEMBERS = 1 << 16
MAX_NAME = 1 << 10
"""Bytes of the name of a member."""
MAX_HEADER = 10_000
"""Bytes of the header of an array: those are read by Python's own parser."""
CHUNK = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
          IndexError, KeyError, OverflowError)
"""What Python's zipfile raises for a damaged archive."""


class Archive:
    """A zip archive open for reading, as a context manager: its members are known, lie apart from each other, start
    with the file, and are neither encrypted nor packed by another method than deflate.

    `what` is what errors call the file ("the data"). All arrays together may have `elements` elements, and
    `per_byte` more for each byte of the file.
    """

    def __init__(self, path: Path, what: str, elements: int, per_byte: int, methods: tuple[int, ...] = METHODS) -> None:
        self.path, self.what = path, what
        if not path.is_file():
            raise InputError(f"{what} '{path}' does not exist")
        try:
            self.size = path.stat().st_size
            if not self.size:
                raise InputError(f"{what} '{path}' is empty")
            self._left = self.most = elements + per_byte * self.size
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"{what} '{path}' cannot be read: {error.strerror or error}") from error
        try:
            self.members = self._checked(methods)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, why: str) -> InputError:
        return InputError(f"{self.what} '{self.path}' {why}")

    def _checked(self, methods: tuple[int, ...]) -> dict[str, zipfile.ZipInfo]:
        try:
            if self._file.read(4) not in (b"PK\3\4", b"PK\5\6"):
                raise self.fail("is not an archive, or has bytes before its first entry")
            self._zip = zipfile.ZipFile(self._file)
            found = self._zip.infolist()
        except OSError as error:
            raise self.fail(f"cannot be read: {error.strerror or error}") from error
        except BROKEN as error:
            raise self.fail("is not an archive, or a damaged or truncated one") from error
        if len(found) > MAX_MEMBERS:
            raise self.fail(f"has {len(found):,} members; {MAX_MEMBERS:,} is the most supported")
        members: dict[str, zipfile.ZipInfo] = {}
        for info in found:
            name = info.filename
            if len(name) > MAX_NAME or "\0" in info.orig_filename or not encodes(name):
                raise self.fail(f"holds a member of an impossible name, '{name[:60]}'")
            if name in members:
                raise self.fail(f"holds '{name[:60]}' twice")
            if info.flag_bits & ENCRYPTED or info.compress_type not in methods:
                raise self.fail(f"holds '{name[:60]}' encrypted or packed in a way that is not supported")
            members[name] = info
        self._apart(found)
        return members

    def _apart(self, found: list[zipfile.ZipInfo]) -> None:
        """Refuse members that share bytes (a way to store much in little), or that lie behind other bytes."""
        end = 0
        for info in sorted(found, key=lambda info: info.header_offset):
            start = info.header_offset
            self._file.seek(max(start, 0))
            head = self._file.read(30)
            if start < end or len(head) < 30 or head[:4] != b"PK\3\4" or (end == 0 and start):
                raise self.fail("has members that overlap, or bytes before its first entry")
            name, extra = struct.unpack("<HH", head[26:30])
            end = start + 30 + name + extra + info.compress_size
            if end > self.size:
                raise self.fail("is truncated")

    def read(self, name: str, most: int) -> bytes:
        """The bytes of a member of at most `most` bytes."""
        info = self.members[name]
        if info.file_size > most:
            raise self.fail(f"unpacks to too much: its '{name[:60]}' to {info.file_size:,} bytes; {most:,} is the "
                            "most supported")
        try:
            with self._zip.open(info) as stream:
                data = stream.read(info.file_size)
        except OSError as error:
            raise self.fail(f"cannot be read: {error.strerror or error}") from error
        except BROKEN as error:
            raise self.fail(f"is damaged: its '{name[:60]}' cannot be unpacked") from error
        if len(data) != info.file_size:
            raise self.fail(f"is truncated: its '{name[:60]}' ends early")
        return data

    def json(self, name: str) -> Any:
        """The JSON document of a member."""
        data = self.read(name, MAX_JSON)
        try:
            return parse_json(data)
        except ValueError as error:
            raise self.fail(f"is damaged: its '{name[:60]}' is not JSON of numbers and text ({error})") from error

    def array(self, name: str, kinds: str) -> np.ndarray:
        """The .npy array of a member, of a dtype of one of `kinds` (numpy's letters) and at most 8 bytes."""
        info = self.members[name]
        try:
            with self._zip.open(info) as stream:
                shape, fortran, dtype = read_header(stream, info.file_size, kinds)
                count = prod(shape)
                self.take(count)
                flat = _filled(stream, count, dtype)
                if stream.read(1):
                    raise ValueError("it holds more than it declares")
        except InputError:
            raise
        except OSError as error:
            raise self.fail(f"cannot be read: {error.strerror or error}") from error
        except BROKEN as error:
            why = str(error).partition("\n")[0][:200] if type(error) is ValueError else "it cannot be unpacked"
            raise self.fail(f"is damaged at '{name[:60]}': {why}") from error
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)

    def take(self, count: int) -> None:
        """Count elements that are about to be made, or refuse them."""
        self._left -= count
        if self._left < 0:
            raise self.fail(f"unpacks to too much: {self.most - self._left:,} numbers, where {self.most:,} is the most "
                            f"supported for a file of {self.size:,} bytes")


def read_npy(path: Path, what: str, kinds: str) -> np.ndarray:
    """The array of a .npy file, of a dtype of one of `kinds` and at most 8 bytes; `what` is what errors call the file.
    No pickle is loaded, and no more memory is taken than the file is large."""
    def fail(why: str) -> InputError:
        return InputError(f"{what} '{path}' {why}")

    if not path.is_file():
        raise fail("does not exist" if not path.exists() else "is no file")
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = read_header(stream, path.stat().st_size, kinds)
            flat = _filled(stream, prod(shape), dtype)
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror or error}") from error
    except BROKEN as error:
        raise fail(f"is damaged: {str(error).partition(chr(10))[0][:200]}") from error
    except MemoryError as error:
        raise fail("needs more memory than there is") from error
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def read_header(stream: Any, size: int, kinds: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, in Fortran's order, dtype) of a .npy file of `size` bytes, its data next in
    `stream`. Raises ValueError for an array that is damaged, of another kind, or of another size than it declares."""
    start = stream.read(12)
    if start[:6] != b"\x93NUMPY" or len(start) < 12 or start[6] not in (1, 2) or start[7] != 0:
        raise ValueError("it is not a .npy array of version 1 or 2")
    length = struct.unpack_from("<H" if start[6] == 1 else "<I", start, 8)[0]
    before = 10 if start[6] == 1 else 12
    if length > MAX_HEADER:
        raise ValueError(f"its header is of {length:,} bytes; {MAX_HEADER:,} is the most supported")
    text = start[before:] + stream.read(length - (12 - before))
    if len(text) != length:
        raise ValueError("its header ends early")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = io.BytesIO(struct.pack("<H", length) + text)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(plain, max_header_size=MAX_HEADER)
    except Exception as error:  # numpy lets Python's tokenizer and parser raise what they like
        raise ValueError("its header is damaged") from error
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
        raise ValueError(f"its shape {str(shape)[:80]} is none")
    if dtype.hasobject or dtype.kind not in kinds or dtype.itemsize > 8:
        raise ValueError(f"it holds {str(dtype)[:60]}, which is not a number that is supported here")
    if prod(shape) * dtype.itemsize != size - before - length:
        raise ValueError(f"it declares the shape {str(shape)[:80]}, but holds {max(size - before - length, 0):,} bytes")
    return shape, fortran, dtype


def _filled(stream: Any, count: int, dtype: np.dtype) -> np.ndarray:
    flat = np.empty(count, dtype)
    raw = flat.view(np.uint8).data if count else memoryview(b"")
    place = 0
    while place < raw.nbytes:
        got = stream.readinto(raw[place:place + CHUNK])
        if not got:
            raise ValueError("it ends early")
        place += got
    return flat


def parse_json(data: bytes) -> Any:
    """A JSON document of at most MAX_JSON bytes in UTF-8. Raises ValueError where it is none, holds a number that is
    not finite, half of a surrogate pair, or nests too deeply."""
    if len(data) > MAX_JSON:
        raise ValueError(f"it is of {len(data):,} bytes; {MAX_JSON:,} is the most supported")
    text = data.decode("utf-8", errors="strict")
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error
    if re.search(r"\\u[dD][89a-fA-F]", text) and not encodes(json.dumps(found, ensure_ascii=False)):
        raise ValueError("it holds half of a surrogate pair")
    return found


def read_json(path: Path) -> Any:
    """The JSON document of a file. Raises OSError where it cannot be read, ValueError as `parse_json`."""
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"it is of {path.stat().st_size:,} bytes; {MAX_JSON:,} is the most supported")
    return parse_json(path.read_bytes())


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def encodes(text: str) -> bool:
    """Whether a text is one that UTF-8 can hold: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
