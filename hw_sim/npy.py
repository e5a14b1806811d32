"""Vectors as `.npy` files, read as a stranger's: the shape and the type that are due, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import safe_files
from errors import BadFolder

MAGIC = b"\x93NUMPY\x01\x00"
# Nothing of numpy's own reader, which evaluates the header as Python.
HEADER = re.compile(rb"\{'descr': '([<|][iu][1248])', 'fortran_order': False, "
                    rb"'shape': \((\d{1,12}), (\d{1,12})\), \} *\n")
PREFIX = len(MAGIC) + 2
MAX_HEADER = 1 << 10


def read(path: Path, kind: np.dtype, samples: int, elements: int) -> np.ndarray:
    """Integers of type `kind` (samples, elements); BadFolder for a file that holds anything else."""
    size = samples * elements * kind.itemsize
    data = safe_files.read(path, size + PREFIX + MAX_HEADER)
    length = int.from_bytes(data[len(MAGIC):PREFIX], "little")
    header = HEADER.fullmatch(data[PREFIX:PREFIX + length]) if data.startswith(MAGIC) and length < MAX_HEADER else None
    if header is None:
        raise BadFolder(f"'{path}' is not a .npy file of integers (samples, elements), or a damaged one")
    found, shape = np.dtype(header[1].decode()), (int(header[2]), int(header[3]))
    if found != kind or shape != (samples, elements):
        raise BadFolder(f"'{path}' holds {found} of shape {shape}; {kind} of {(samples, elements)} was expected")
    if len(data) != PREFIX + length + size:
        raise BadFolder(f"'{path}' holds {len(data) - PREFIX - length} bytes; {shape} of {kind} take {size}")
    return np.frombuffer(data, kind, offset=PREFIX + length).reshape(shape)
