"""Beats as bytes: hex files in and out, words out of beats, and the count of bits that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from errors import BadFolder
from rtl import Stream

CHUNK = 1 << 24


def read_hex(path: Path, bits: int, samples: int) -> np.ndarray:
    """A hex file, one beat of `bits` a line, as uint8 (samples, bits / 8), least significant byte first."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadFolder(f"'{path}' cannot be read: {error.strerror}") from error
    line = bits // 4 + 1
    if len(text) != samples * line:
        raise BadFolder(f"'{path}' holds {len(text)} bytes; {samples} beats of {bits} bits take {samples * line}")
    rows = np.frombuffer(text, np.uint8).reshape(samples, line)
    if not (rows[:, -1] == ord("\n")).all():
        raise BadFolder(f"'{path}' does not hold one beat of {bits} bits a line")
    try:
        octets = bytes.fromhex(rows[:, :-1].tobytes().decode("ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadFolder(f"'{path}' does not hold hexadecimal digits alone") from error
    return np.frombuffer(octets, np.uint8).reshape(samples, bits // 8)[:, ::-1]


def write_hex(path: Path, beats: np.ndarray) -> None:
    """The inverse of `read_hex`."""
    digits = np.frombuffer(np.ascontiguousarray(beats[:, ::-1]).tobytes().hex().encode(), np.uint8)
    lines = np.full((len(beats), 2 * beats.shape[1] + 1), ord("\n"), np.uint8)
    lines[:, :-1] = digits.reshape(len(beats), -1)
    path.write_bytes(lines.tobytes())


def words(beats: np.ndarray, port: Stream) -> np.ndarray:
    """Beats uint8 (n, bytes) to int64 codes (n, elements)."""
    found = np.empty((len(beats), port.elements), np.int64)
    step = max(CHUNK // port.bits, 1)
    weights = np.int64(1) << np.arange(port.width, dtype=np.int64)
    for start in range(0, len(beats), step):
        bits = np.unpackbits(np.ascontiguousarray(beats[start:start + step]), axis=1, bitorder="little")
        bits = bits[:, :port.elements * port.width].reshape(len(bits), port.elements, port.width)
        found[start:start + step] = bits @ weights
    if port.signed:
        found -= (found >> (port.width - 1)) << port.width
    return found


def from_words(codes: np.ndarray, elements: int, width: int) -> np.ndarray:
    """int64 codes (n, elements) to beats uint8 (n, bytes)."""
    bits = ((codes[:, :, None] >> np.arange(width)) & 1).astype(np.uint8).reshape(len(codes), elements * width)
    return np.packbits(bits, axis=1, bitorder="little")


def wrong_bits(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """int64 (samples,): bits that differ, sample by sample."""
    return np.bitwise_count(got ^ expected).sum(axis=1, dtype=np.int64)
