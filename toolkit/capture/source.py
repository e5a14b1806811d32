"""MODEL on the command line: a .pt2 file, an .onnx file, or `package.module:callable`."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

import torch

from toolkit.capture.archive import load_pt2
from toolkit.capture.onnx import QuantisedModel, load_onnx
from toolkit.capture.program import Program
from toolkit.utils.entry_points import named
from toolkit.utils.errors import InputError

KERAS = {".h5": "--keras", ".hdf5": "--keras", ".keras": "--keras", ".tflite": "--tflite"}
"""Files of TensorFlow, and the option of tf2onnx that reads each."""
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors")
Loaded = torch.nn.Module | Program | QuantisedModel


def load_model(source: str, *, requantise: bool = False) -> Loaded:
    """The model that `source` names. A callable is the user's own code and is run; a file's is not.

    `requantise` is of QONNX files: scales that are not powers of two may be approximated.
    """
    if source.lower().endswith(".onnx"):
        return load_onnx(Path(source), requantise=requantise)
    if source.endswith(".pt2"):
        return load_pt2(Path(source))
    foreign = _foreign(source)
    if foreign:
        raise InputError(foreign)
    if Path(source).is_file():
        raise InputError(f"'{source}' is neither a .pt2 nor an .onnx file; save the model with torch.export.save(..., "
                         "'name.pt2'), or name it as package.module:callable")
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", source):
        raise InputError(f"'{source[:100]}' is not a model: give a .pt2 file, an .onnx file, or "
                         "package.module:callable "
                         "that returns an nn.Module")
    found = named(source, "model")
    model = found if isinstance(found, torch.nn.Module) else found() if callable(found) else None
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"'{source}' gives {type(model).__name__}, not an nn.Module")
    return model


def _foreign(source: str) -> str:
    """What to do about a file of a kind that others write; empty for any other."""
    path = Path(source)
    ending = path.suffix.lower()
    if ending in KERAS or (path / "saved_model.pb").is_file():
        option = KERAS.get(ending, "--saved-model")
        out = path.with_suffix(".onnx").name
        return (f"'{source}' is a model of TensorFlow; make an .onnx file of it, where TensorFlow is installed, with "
                f"`pip install tf2onnx` and `python -m tf2onnx.convert {option} {quote(source)} --output {quote(out)}`")
    if ending in WEIGHTS:
        return (f"'{source}' holds weights or a pickle, which is never loaded, and no network; load it into the model "
                "in Python, and save that with torch.export.save(torch.export.export(model.eval(), (sample,), "
                "dynamic_shapes=({0: torch.export.Dim('batch')},)), 'name.pt2'), where sample is a batch of 2 or more")
    return ""
