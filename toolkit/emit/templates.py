"""The template engine: files of `templates/`, strict about every name, and no logic but loops and tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toolkit.emit.memory_style import ram_style, rom_style
from toolkit.utils.resources import folder


@cache
def environment() -> Environment:
    made = Environment(loader=FileSystemLoader(folder("templates")), undefined=StrictUndefined, autoescape=False,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    made.globals |= {"rom_style": rom_style, "ram_style": ram_style}
    return made


def render(template: str, **context: Any) -> str:
    """The text of one template of `templates/`, named by its path there."""
    return environment().get_template(template).render(**context)
