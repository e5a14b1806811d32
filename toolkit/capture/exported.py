"""torch.export of a module, and what to tell of a module that it does not take."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from contextlib import redirect_stderr
from types import TracebackType
from typing import Any

import torch
from torch import nn

from toolkit.capture.faults import Fault, Refused
from toolkit.capture.ways_out import BATCH, BRANCH, BY_CLASS
from toolkit.utils.errors import InputError

BRANCHES = ("data-dependent", "DataDependent", "DynamicOutputShape", "unbacked")
FIXED = ("Constraints violated", "ConstraintViolation", "marked batch as dynamic", "specialized")


def exported(model: nn.Module, *sample_shapes: tuple[int, ...]) -> torch.export.ExportedProgram:
    """`model` on samples of a shape, or of one for each of its inputs, the batch dynamic. Raises Refused, which names
    its layers that are not supported
    where one may be the reason, and InputError for a model that does not take that shape."""
    training = model.training
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    samples = tuple(torch.zeros(2, *shape, device=device) for shape in sample_shapes)
    try:
        logging.disable(logging.CRITICAL)  # torch logs a stack trace of its own for what is told in one sentence here
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # where torch prints its graphs
            warnings.simplefilter("ignore")
            return torch.export.export(model.eval(), samples, dynamic_shapes=_batched(model, len(samples)))
    except Exception as error:  # torch.export raises whatever the model raises, and its own kinds
        raise _told(model, sample_shapes, error) from error
    finally:
        model.train(training)
        logging.disable(logging.NOTSET)


def _batched(model: nn.Module, count: int) -> tuple[Any, ...]:
    """That the batch of each of `count` inputs is dynamic, as torch.export takes it: what a forward takes as *inputs
    is one of its arguments."""
    each = ({0: torch.export.Dim("batch")},) * count
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return each
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*each[:named], each[named:]) if count > named else each


def refused_modules(model: nn.Module) -> list[Fault]:
    """The modules whose class has no hardware at all, the outermost of each other."""
    found: list[Fault] = []
    for path, module in model.named_modules():
        kind = type(module)
        inside = any(not f.path or path == f.path or path.startswith(f"{f.path}.") for f in found)
        if not inside and kind.__name__ in BY_CLASS and kind.__module__.startswith("torch.nn."):
            way = BY_CLASS[kind.__name__]
            found.append(Fault(kind.__name__, path, way.why, way.way_out))
    return found


def _told(model: nn.Module, sample_shapes: tuple[tuple[int, ...], ...], error: Exception) -> InputError:
    faults = refused_modules(model)
    path = _place(model, error)
    if faults and any(not f.path or path == f.path or path.startswith(f"{f.path}.") for f in faults):
        return Refused(faults)
    kind = type(model.get_submodule(path)).__name__
    text = f"{type(error).__name__}: {error}"
    way = next((w for words, w in ((BRANCHES, BRANCH), (FIXED, BATCH)) if any(word in text for word in words)), None)
    if way is not None:
        return Refused([*faults, Fault(kind, path, way.why, way.way_out)])
    line = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
    where = f" in '{path}' ({kind})" if path else ""
    shapes = " and ".join(str(tuple(shape)) for shape in sample_shapes)
    why = f"cannot be captured on samples of shape {shapes}{where}: {line[:300]}"
    return Refused([*faults, Fault(kind, path, why, "")]) if faults else InputError(f"the model {why}")


def _place(model: nn.Module, error: BaseException) -> str:
    """The path of the innermost module whose forward an error came out of; empty for the model itself."""
    paths = {id(module): path for path, module in model.named_modules()}
    found = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        owner = id(trace.tb_frame.f_locals.get(code.co_varnames[0])) if code.co_argcount else 0
        if code.co_name == "forward" and paths.get(owner):
            found = paths[owner]
        trace = trace.tb_next
    return found
