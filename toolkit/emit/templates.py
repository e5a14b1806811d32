"""The template engine: files of `templates/`, strict about every name, and no logic but loops and tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toolkit.utils.resources import folder


@cache
def environment() -> Environment:
    return Environment(loader=FileSystemLoader(folder("templates")), undefined=StrictUndefined, autoescape=False,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


def render(template: str, **context: Any) -> str:
    """The text of one template of `templates/`, named by its path there."""
    return environment().get_template(template).render(**context)
