"""Names for the outputs of a model, and whether their structure is one that is supported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from toolkit.design.ports import MAX_PORTS
from toolkit.utils.errors import InputError
from toolkit.utils.printable import printable

FLAT = "give them as a tuple or list of tensors, or as a dict of tensors by name"


def output_names(spec: str, count: int) -> tuple[str, ...]:
    """Names for the `count` outputs of a program, whose structure is the tree specification `spec`: the keys of a dict,
    else output_0, output_1, ... Raises InputError for outputs that are nested, and for none that can be told apart."""
    if not 0 < count <= MAX_PORTS:
        raise InputError(f"the model has {count:,} outputs; 1 to {MAX_PORTS} are supported")
    tree: Any = json.loads(spec)[1]
    children = tree["children_spec"]
    if tree["type"] is not None and any(child["type"] is not None for child in children):
        raise InputError(f"the model's outputs are nested; {FLAT}")
    plain = tuple(f"output_{i}" for i in range(count))
    if tree["type"] != "builtins.dict" or len(children) != count:
        return plain
    return different(json.loads(tree["context"]), "output")


def different(names: Iterable[object], what: str) -> tuple[str, ...]:
    """Names as they may be written, none twice."""
    found: list[str] = []
    for number, name in enumerate(names):
        base = text = printable(str(name)).strip()[:100] or f"{what}_{number}"
        more = 2
        while text in found:
            text, more = f"{base}_{more}", more + 1
        found.append(text)
    return tuple(found)
