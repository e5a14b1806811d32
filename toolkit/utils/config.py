"""Options of a command in a TOML file: read for `--config`, and written beside a result so that it can be repeated."""

from __future__ import annotations

import json
import tomllib
from contextlib import AbstractContextManager
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import typer

from toolkit import __version__
from toolkit.utils.errors import InputError
from toolkit.utils.old_options import RENAMED
from toolkit.utils.output_folder import also_written

NAME = "config.toml"
NOT_IN_FILE = ("config", "help-all")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a text"}


def load(context: typer.Context, path: Path | None) -> Path | None:
    """What typer calls for `--config FILE`: the values of the file become the defaults of the command's options."""
    if path is not None and not context.resilient_parsing:
        context.default_map = values(path, known(context))
    return path


def saved(context: typer.Context, out: Path) -> AbstractContextManager[None]:
    """While the block runs, the result folder `out` also gets a config.toml with the values of all options."""
    return also_written(out, NAME, text(str(context.info_name), given(context)).encode())


def known(context: typer.Context) -> dict[str, tuple[str, Any]]:
    """The options and arguments of a command by their long names: the name of the parameter, and its type."""
    types = get_type_hints(context.command.callback)
    found = {_long_name(parameter): str(parameter.name) for parameter in context.command.params}
    return {long: (name, types[name]) for long, name in found.items() if name in types and long not in NOT_IN_FILE}


def given(context: typer.Context) -> dict[str, Any]:
    """The value of every option that has one, by long name."""
    found = {long: context.params.get(name) for long, (name, _) in known(context).items()}
    return {long: value for long, value in found.items() if value is not None}


def values(path: Path, options: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """The values in a file by parameter; InputError for a key or a type that `options` (see `known`) do not have."""
    found: dict[str, Any] = {}
    for key, value in _parsed(path).items():
        long = key.replace("_", "-")
        if long not in options:
            raise InputError(f"'{path}' has the key '{key[:60]}', which is no option of this command; the nearest is "
                             f"'{_nearest(long, list(options))}'")
        name, kind = options[long]
        if name in found:
            raise InputError(f"'{path}' gives '{long}' twice, with a dash and with an underscore")
        wanted = _misfit(value, kind)
        if wanted:
            raise InputError(f"'{path}' has {json.dumps(value, default=str)[:60]} for '{key}', which must be {wanted}")
        found[name] = value
    return found


def text(command: str, given: dict[str, Any]) -> str:
    """The TOML text of a command's options, by long names."""
    lines = [f"# shiftwright {__version__}. To repeat this run: shiftwright {command} --config {NAME} -o NEW_FOLDER"]
    for long, value in given.items():
        try:
            line = f"{long} = {toml(value)}"
            line.encode()
        except UnicodeEncodeError:
            line = f"# {long}: its value is not valid UTF-8, which TOML cannot hold"
        lines.append(line)
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A value in TOML's notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"the configuration file '{path}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the configuration file '{path}' is no TOML: {error}") from error


def _nearest(key: str, options: list[str]) -> str:
    """The option that a wrong key most likely means."""
    renamed = RENAMED.get(f"--{key}", ("",))[0].removeprefix("--")
    return renamed if renamed in options else get_close_matches(key, options, 1, 0.0)[0]


def _misfit(value: Any, kind: Any) -> str:
    """What a value must be, where it is not; empty where it is of the type."""
    kind = next((one for one in get_args(kind) if one is not NoneType), kind) if get_origin(kind) is not list else kind
    if get_origin(kind) is list:
        good = isinstance(value, list) and not any(_misfit(one, str) for one in value)
        return "" if good else "a list of texts"
    types = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    return "" if type(value) in types and "\0" not in str(value) else KINDS[kind]


def _long_name(parameter: Any) -> str:
    return next((name[2:] for name in parameter.opts if name.startswith("--")), str(parameter.name))
