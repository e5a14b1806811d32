"""Codes as the hardware sees them: packed beats, as hex text that `$readmemh` reads, and as small numpy arrays."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.tensors import Tensor

_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
CHUNK_BITS = 1 << 26
"""Bits that are unpacked at once: 64 MiB."""


def beat_bits(tensor: Tensor) -> int:
    """Bits of one beat of a stream that carries `tensor`: whole bytes."""
    return -(-tensor.bits // 8) * 8


def small_type(form: FixedPoint) -> np.dtype:
    """The smallest numpy integer that holds every code of a format."""
    for size in (1, 2, 4):
        if form.width <= 8 * size:
            return np.dtype(f"{'i' if form.signed else 'u'}{size}")
    return np.dtype(np.int64)


def packed(codes: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Codes (n, *shape) to bytes (n, beat bytes), least significant first; element i at bits [i*W +: W]."""
    return _packed_rows(codes.reshape(len(codes), -1), tensor.format.width)


def _packed_rows(codes: np.ndarray, width: int) -> np.ndarray:
    flat = np.ascontiguousarray(codes, np.int64)
    if width % 8 == 0 and width <= 64:
        octets = flat.astype("<i8").view(np.uint8).reshape(*flat.shape, 8)[:, :, :width // 8]
        return np.ascontiguousarray(octets).reshape(len(flat), -1)
    bits_of_row = flat.shape[1] * width
    out = np.empty((len(flat), -(-bits_of_row // 8)), np.uint8)
    step = max(CHUNK_BITS // bits_of_row, 1)
    places = np.arange(width)
    for start in range(0, len(flat), step):
        part = flat[start:start + step]
        bits = ((part[:, :, None] >> places) & 1).astype(np.uint8).reshape(len(part), -1)
        out[start:start + step] = np.packbits(bits, axis=1, bitorder="little")
    return out


def hex_text(codes: np.ndarray, tensor: Tensor, elements: int | None = None) -> bytes:
    """Codes (n, *shape) as beats of `elements` elements (all of a sample by default), one a line, most significant
    digit first, as `$readmemh` wants it; a sample's last beat is filled up with zeros."""
    if not len(codes):
        return b""
    elements = elements or tensor.size
    flat = np.pad(codes.reshape(len(codes), -1), ((0, 0), (0, -tensor.size % elements)))
    octets = _packed_rows(flat.reshape(-1, elements), tensor.format.width)[:, ::-1]
    lines = np.empty((len(octets), 2 * octets.shape[1] + 1), np.uint8)
    lines[:, :-1] = _HEX[octets].reshape(len(octets), -1)
    lines[:, -1] = ord("\n")
    return lines.tobytes()
