"""`package.module:name` on the command line: an object of the user's own code."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.utils.errors import InputError


def named(text: str, what: str) -> Any:
    """The object that `text` names; the current folder is searched first. `what` it is to be, for the errors."""
    match = re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)", text)
    if match is None:
        raise InputError(f"'{text[:100]}' names no {what}; write package.module:name")
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
    return found


def function(text: str | None, what: str) -> Callable[..., Any] | None:
    """The function that `text` names; None for None."""
    if text is None:
        return None
    found = named(text, what)
    if not callable(found):
        raise InputError(f"'{text}' is {type(found).__name__}, not a function; a {what} must be one")
    return found
