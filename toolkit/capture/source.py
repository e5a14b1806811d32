"""MODEL on the command line: a .pt2 file, an .onnx file, or `package.module:callable`."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from toolkit.capture.archive import load_pt2
from toolkit.capture.onnx import QuantisedModel, load_onnx
from toolkit.capture.program import Program
from toolkit.utils.entry_points import named
from toolkit.utils.errors import InputError

Loaded = torch.nn.Module | Program | QuantisedModel


def load_model(source: str, *, requantise: bool = False) -> Loaded:
    """The model that `source` names. A callable is the user's own code and is run; a file's is not.

    `requantise` is of QONNX files: scales that are not powers of two may be approximated.
    """
    if source.lower().endswith(".onnx"):
        return load_onnx(Path(source), requantise=requantise)
    if source.endswith(".pt2"):
        return load_pt2(Path(source))
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
