"""Beats as bytes: hex files in and out, words out of beats, and the count of bits that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safe_files
from errors import BadFolder

from benches.rtl import Stream

CHUNK = 1 << 24


def read_hex(path: Path, stream: Stream, samples: int) -> np.ndarray:
    """A hex file, one beat a line, as uint8 (samples, bytes): each sample's beats in their order, least significant
    byte first."""
    text = safe_files.read(path)
    line, beats = stream.bits // 4 + 1, samples * stream.beats
    if len(text) != beats * line:
        raise BadFolder(f"'{path}' holds {len(text)} bytes; {beats} beats of {stream.bits} bits take {beats * line}")
    rows = np.frombuffer(text, np.uint8).reshape(beats, line)
    if not (rows[:, -1] == ord("\n")).all():
        raise BadFolder(f"'{path}' does not hold one beat of {stream.bits} bits a line")
    try:
        octets = bytes.fromhex(rows[:, :-1].tobytes().decode("ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadFolder(f"'{path}' does not hold hexadecimal digits alone") from error
    found = np.frombuffer(octets, np.uint8).reshape(beats, stream.bits // 8)[:, ::-1]
    return np.ascontiguousarray(found).reshape(samples, stream.octets)


def write_hex(path: Path, samples: np.ndarray, stream: Stream) -> None:
    """The inverse of `read_hex`."""
    beats = samples.reshape(-1, stream.bits // 8)
    digits = np.frombuffer(np.ascontiguousarray(beats[:, ::-1]).tobytes().hex().encode(), np.uint8)
    lines = np.full((len(beats), 2 * beats.shape[1] + 1), ord("\n"), np.uint8)
    lines[:, :-1] = digits.reshape(len(beats), -1)
    path.write_bytes(lines.tobytes())


def words(samples: np.ndarray, stream: Stream) -> np.ndarray:
    """Samples uint8 (n, bytes) to int64 codes (n, elements of a sample)."""
    beats = samples.reshape(-1, stream.bits // 8)
    found = np.empty((len(beats), stream.elements), np.int64)
    step = max(CHUNK // stream.bits, 1)
    weights = np.int64(1) << np.arange(stream.width, dtype=np.int64)
    for start in range(0, len(beats), step):
        bits = np.unpackbits(np.ascontiguousarray(beats[start:start + step]), axis=1, bitorder="little")
        bits = bits[:, :stream.elements * stream.width].reshape(len(bits), stream.elements, stream.width)
        found[start:start + step] = bits @ weights
    if stream.signed:
        found -= (found >> (stream.width - 1)) << stream.width
    return found.reshape(len(samples), -1)[:, :stream.total]


def from_words(codes: np.ndarray, elements: int, width: int) -> np.ndarray:
    """int64 codes (n, elements) to one beat each, uint8 (n, bytes)."""
    bits = ((codes[:, :, None] >> np.arange(width)) & 1).astype(np.uint8).reshape(len(codes), elements * width)
    return np.packbits(bits, axis=1, bitorder="little")


def of_words(codes: np.ndarray, stream: Stream) -> np.ndarray:
    """Codes (n, elements of a sample), integers of any type, to beats uint8 (n, bytes): the inverse of `words`."""
    beats, size = stream.beats, codes.dtype.itemsize
    found = np.zeros((len(codes), stream.octets), np.uint8)
    step = max(CHUNK // (8 * size * beats * stream.elements), 1)
    for start in range(0, len(codes), step):
        part = codes[start:start + step]
        whole = np.zeros((len(part), beats * stream.elements), codes.dtype.newbyteorder("<"))
        whole[:, :stream.total] = part
        octets = whole.view(np.uint8)
        if stream.width != 8 * size:
            bits = np.unpackbits(octets.reshape(len(part) * beats, stream.elements, size), axis=2, bitorder="little")
            octets = np.packbits(bits[:, :, :stream.width].reshape(len(part) * beats, -1), axis=1, bitorder="little")
        found[start:start + step] = octets.reshape(len(part), stream.octets)
    return found


def carried(stream: Stream) -> np.ndarray:
    """uint8 (bytes of a sample,): ones where its beats carry words, zeros where they are padded."""
    bits = np.zeros((stream.beats, stream.bits), np.uint8)
    bits[:, :stream.elements * stream.width] = 1
    bits[-1, (stream.total - (stream.beats - 1) * stream.elements) * stream.width:] = 0
    return np.packbits(bits.reshape(-1), bitorder="little")


def bit_errors(got: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """int64 (samples,): bits of `mask` that differ, sample by sample."""
    return np.bitwise_count((got ^ expected) & mask).sum(axis=1, dtype=np.int64)
