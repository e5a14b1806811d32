"""The strings of a .pt2 file's JSON that torch would evaluate: what they may be, wherever they stand."""

from __future__ import annotations

import json
import re
from typing import Any

from toolkit.utils.errors import InputError

ONE = r"Symbol\('[su]\d{1,9}'(, (positive|integer|nonnegative)=True){0,3}\)"
SYMBOL = re.compile(rf"[su]\d{{1,9}}|-?(int_)?oo|Integer\(\d{{1,18}}\)|{ONE}|Mul\(Integer\(\d{{1,18}}\), {ONE}\)")
"""What may stand for a size: none of it is evaluated."""


def check_strings(document: Any) -> None:
    """Refuse expressions and tree specifications that torch would evaluate, wherever they stand."""
    stack: list[Any] = [document]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
            expression = item.get("expr_str", "s0")
            if not (isinstance(expression, str) and SYMBOL.fullmatch(expression)):
                raise InputError(f"computes a shape as '{str(expression)[:60]}'; export the model with a batch "
                                 "dimension that is dynamic and no other")
            for key in ("in_spec", "out_spec"):
                if key in item:
                    check_treespec(item[key])


def check_treespec(text: Any) -> None:
    """Refuse a tree specification of more than tuples, lists and dicts with plain keys: torch imports the types that
    others name."""
    try:
        version, spec = json.loads(text)
        if version != 1:
            raise ValueError(f"version {version}")
        stack = [spec]
        while stack:
            node = stack.pop()
            kind, context, children = node["type"], node["context"], node["children_spec"]
            if not isinstance(children, list) or set(node) != {"type", "context", "children_spec"}:
                raise ValueError("a node is damaged")
            stack.extend(children)
            if kind is None:
                fits = context is None and not children
            elif kind in ("builtins.tuple", "builtins.list"):
                fits = context == "null"
            else:
                keys = json.loads(context) if kind == "builtins.dict" else None
                fits = isinstance(keys, list) and len(keys) == len(children) and all(type(k) is str for k in keys)
            if not fits:
                raise ValueError(f"'{str(kind)[:60]}'")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("has inputs or outputs of a structure that is not known here "
                         f"({str(error)[:80]}); tuples, lists and dicts with plain keys are") from error
