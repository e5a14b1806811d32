"""Tensors of an .onnx file to numpy: every size is checked against the bytes that are there before an array is made."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_AXES

MAX_ELEMENTS = 1 << 28
"""Of one constant: 1 GiB of float32."""
MAX_PATH = 1_000
"""Characters of the place of external data."""
TYPES: dict[int, int] = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.DOUBLE: 8, onnx.TensorProto.INT64: 8,
                         onnx.TensorProto.INT32: 4, onnx.TensorProto.INT8: 1, onnx.TensorProto.UINT8: 1,
                         onnx.TensorProto.INT16: 2, onnx.TensorProto.UINT16: 2, onnx.TensorProto.BOOL: 1}
"""Element types of constants that are read, and the bytes of one element."""
FIELDS: dict[int, str] = dict.fromkeys(TYPES, "int32_data") | {
    onnx.TensorProto.FLOAT: "float_data", onnx.TensorProto.DOUBLE: "double_data", onnx.TensorProto.INT64: "int64_data"}
"""Where the values of a type stand, where they are not raw bytes."""


def type_name(code: int) -> str:
    """FLOAT16 for 10, as the file format calls it."""
    try:
        return str(onnx.TensorProto.DataType.Name(code))
    except ValueError:
        return f"type {code}"


def shown(name: str) -> str:
    """A name from a file, short enough for one sentence."""
    return f"'{name[:60]}'"


def declared(tensor: onnx.TensorProto) -> int:
    """The elements that a constant says it has."""
    name, dims = shown(tensor.name or "of a Constant node"), tuple(tensor.dims)
    if len(dims) > MAX_AXES:
        raise InputError(f"the constant {name} has {len(dims):,} axes; {MAX_AXES} are the most supported")
    if any(d < 0 for d in dims):
        raise InputError(f"the constant {name} has the shape {dims}, which is none")
    if prod(dims) > MAX_ELEMENTS:
        raise InputError(f"the constant {name} declares {prod(dims):,} elements; {MAX_ELEMENTS:,} is the most "
                         "supported")
    return prod(dims)


def to_array(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """The array of a constant; external data is read from inside `folder` alone. Raises InputError for a type that is
    not read, and for a size that does not fit the bytes stored."""
    name = shown(tensor.name or "of a Constant node")
    kind, dims = tensor.data_type, tuple(tensor.dims)
    if kind not in TYPES:
        raise InputError(f"the constant {name} is of type {type_name(kind)}; export the model with float32 weights")
    count = declared(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        array = np.frombuffer(_external(tensor, folder, count * TYPES[kind]),
                              onnx.helper.tensor_dtype_to_np_dtype(kind)).reshape(dims)
    else:
        if tensor.HasField("raw_data"):
            found, want, unit = len(tensor.raw_data), count * TYPES[kind], "bytes"
        else:
            found, want, unit = len(getattr(tensor, FIELDS[kind])), count, "values"
        if found != want:
            raise InputError(f"the constant {name} of shape {dims} holds {found} {unit} instead of {want}; the file is "
                             "damaged")
        array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"the constant {name} holds values that are not finite")
    return array


def _external(tensor: onnx.TensorProto, folder: Path, size: int) -> bytes:
    """The bytes of a tensor that are stored in a file beside the model."""
    name = shown(tensor.name)
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    inside = folder.resolve()
    if len(location) > MAX_PATH or "\0" in location:
        raise InputError(f"the constant {name} lies in external data of the name {shown(location)}, which is none")
    try:
        path = (inside / location).resolve()
        there = path.is_file()
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", size))
    except (ValueError, OSError) as error:
        raise InputError(f"the constant {name} lies in external data that is not described well: {error}") from error
    if not location or not path.is_relative_to(inside) or path == inside:
        raise InputError(f"the constant {name} lies in {shown(location)}, outside the model's folder; external data is "
                         "only read from beside the model")
    if not there:
        raise InputError(f"the constant {name} lies in {shown(location)}, which is not beside the model")
    if length != size or offset < 0 or offset + size > path.stat().st_size:
        raise InputError(f"the constant {name} needs {size} bytes at {offset} of {shown(location)}, which holds "
                         f"{path.stat().st_size}")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
