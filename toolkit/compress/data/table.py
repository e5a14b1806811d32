"""Data from a .csv table: a row a sample, one column of labels, all others features."""

from __future__ import annotations

import array
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from toolkit.compress.data.arrays import Arrays, named_classes
from toolkit.utils.errors import InputError

LABELS = ("label", "y", "class", "target")
"""Names of the column of labels, in any case, where none is given."""
NONE = "none"
"""What stands for no column of labels."""
MAX_BYTES = 1 << 30
MAX_LINE = 1 << 22
"""Characters of a line."""
MAX_COLUMNS = 1 << 16
DELIMITERS = ",;\t"


def read_csv(path: Path, label_column: str | None = None) -> Arrays:
    """x float32 (rows, features) and y of a table whose first row names the columns, separated by commas, semicolons or
    tabs (whichever the first row has most of).

    `label_column` names the column of labels; by default it is the one called label, y, class or target, and with
    `none` there is none. Labels that are all numbers are numbers, all others are names of classes, in sorted order.
    Raises InputError, with the row (the header is row 1) and the column, for a cell that is not a finite number.
    """
    def fail(why: str) -> InputError:
        return InputError(f"the data '{path}' {why}")

    if not path.is_file():
        raise fail("does not exist" if not path.exists() else "is no file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise fail(f"is of {path.stat().st_size:,} bytes; {MAX_BYTES:,} is the most supported; save it as .npz")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline(MAX_LINE)
            stream.seek(0)
            rows = csv.reader(_lines(stream), delimiter=max(DELIMITERS, key=first.count), strict=True)
            try:
                return _read(rows, label_column)
            except _Wrong as error:
                raise fail(str(error)) from error
            except csv.Error as error:
                raise fail(f"is no table of comma-separated values: line {rows.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise fail("is not text in UTF-8") from error
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise fail("needs more memory than there is") from error


class _Wrong(Exception):
    """Why a table is refused."""


def _lines(stream: IO[str]) -> Iterator[str]:
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise _Wrong(f"has a line of more than {MAX_LINE:,} characters, which is the most supported")
        yield line


def _read(rows: Iterator[list[str]], label_column: str | None) -> Arrays:
    head = [name.strip() for name in next(rows, [])]
    if not any(head):
        raise _Wrong("is empty; the first row must name the columns")
    if len(head) > MAX_COLUMNS:
        raise _Wrong(f"has {len(head):,} columns; {MAX_COLUMNS:,} is the most supported; save it as .npz")
    if all(_number(name) is not None for name in head):
        raise _Wrong("has no header: its first row holds numbers, and must name the columns")
    place = _label_place(head, label_column)
    if place is not None and len(head) == 1:
        raise _Wrong(f"has no column but that of the labels, '{head[0][:60]}'")
    names = [name for i, name in enumerate(head) if i != place]
    values, labels = array.array("f"), []
    count = 1
    for row in rows:
        count += 1
        if not row:
            continue  # an empty line
        if len(row) != len(head):
            raise _Wrong(f"has {len(row):,} cells in row {count:,}, and {len(head):,} columns (the header is row 1)")
        if place is not None:
            labels.append(row.pop(place).strip())
            if not labels[-1]:
                raise _Wrong(f"has no label in row {count:,} (the header is row 1)")
        values.extend(_numbers(row, names, count))
    if not values:
        raise _Wrong("holds no row below its header")
    x = np.frombuffer(values, np.float32).reshape(-1, len(names))
    if place is None:
        return Arrays({"x": x}, notes=(f"a column of labels was not read (--label-column {NONE})",))
    numbers = [_number(label) for label in labels]
    if all(number is not None for number in numbers):
        return Arrays({"x": x, "y": np.array(numbers, np.float64)})
    y, classes = named_classes({"y": labels})
    return Arrays({"x": x, **y}, classes)


def _label_place(head: list[str], wanted: str | None) -> int | None:
    """The index of the column of labels; None where there shall be none."""
    found = [i for i, name in enumerate(head) if name == wanted] if wanted is not None else \
        [i for i, name in enumerate(head) if name.lower() in LABELS]
    if len(found) == 1:
        return found[0]
    if wanted == NONE and not found:
        return None
    shown = ", ".join(f"'{name[:30]}'" for name in head[:8]) + (", ..." if len(head) > 8 else "")
    if wanted is not None:
        raise _Wrong(f"has {len(found) or 'no'} column{'s' * (len(found) > 1)} '{wanted[:60]}' for --label-column; its "
                     f"columns are {shown}")
    if found:
        raise _Wrong(f"has several columns that may hold the labels, {', '.join(repr(head[i][:30]) for i in found[:4])}"
                     "; name the one that does by --label-column")
    raise _Wrong(f"has no column label, y, class or target, but {shown}; name the column of the labels by "
                 f"--label-column, or say --label-column {NONE}")


def _numbers(row: list[str], names: list[str], count: int) -> list[float]:
    try:
        found = list(map(float, row))
        if all(map(math.isfinite, found)) and max(map(abs, found), default=0.0) < 3.4e38:
            return found
    except ValueError:
        pass
    cell, name = next((cell, name) for cell, name in zip(row, names, strict=True) if _number(cell) is None)
    what = f"'{cell.strip()[:40]}', which is not a finite number" if cell.strip() else "nothing"
    raise _Wrong(f"holds {what} in row {count:,}, column '{name[:60]}' (the header is row 1); features are numbers, "
                 "and the column of the labels is named by --label-column")


def _number(cell: str) -> float | None:
    """A finite number of float32; None for any other text."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if abs(number) < 3.4e38 else None
