"""MODEL on the command line: a .pt2 file, or `package.module:callable`."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import torch

from toolkit.capture.archive import load_pt2
from toolkit.errors import InputError


def load_model(source: str) -> torch.nn.Module | torch.export.ExportedProgram:
    """The model that `source` names. A callable is the user's own code and is run; a file's is not."""
    if source.endswith(".pt2"):
        return load_pt2(Path(source))
    if Path(source).is_file():
        raise InputError(f"'{source}' is no .pt2 file; save the model with torch.export.save(..., 'name.pt2'), or name "
                         "it as package.module:callable")
    match = re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)", source)
    if match is None:
        raise InputError(f"'{source[:100]}' is no model: give a .pt2 file, or package.module:callable that returns an "
                         "nn.Module")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(match[1])
    except ImportError as error:
        raise InputError(f"the module '{match[1]}' cannot be imported: {error}") from error
    for part in match[2].split("."):
        if not hasattr(found, part):
            raise InputError(f"the module '{match[1]}' has no '{match[2]}'")
        found = getattr(found, part)
    model = found if isinstance(found, torch.nn.Module) else found() if callable(found) else None
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"'{source}' gives {type(model).__name__}, not an nn.Module")
    return model
