"""What a project is made from, beside its design: written into the manifest, so that it can be made again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from toolkit.hardware import Options
from toolkit.utils.errors import InputError

MAX_VECTORS = 1 << 26
MAX_TEXT = 1000
MAX_RULES = 10_000
RULES = ("lanes", "simd", "stream")
"""Options that are lists of (pattern of layer names, count)."""


@dataclass(frozen=True)
class Provenance:
    """`vectors`: how many random and boundary vectors were asked for; `seed` of theirs; `test`: whether there is a set
    of the user's own, whose inputs are data of the project."""

    targets: tuple[str, ...]
    options: Options
    vectors: int
    seed: int
    test: bool

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        options = asdict(self.options)
        options |= {name: [list(rule) for rule in options[name]] for name in RULES}
        return {"targets": list(self.targets), "options": options, "vectors": self.vectors, "seed": self.seed,
                "test": self.test}

    @classmethod
    def from_json(cls, data: Any) -> Provenance:
        """The inverse, of a stranger's manifest; InputError for what is none."""
        try:
            if set(data) != {field.name for field in fields(cls)}:
                raise ValueError("other keys than it should have")
            targets = tuple(_text(name) for name in _list(data["targets"]))
            if type(data["test"]) is not bool:
                raise ValueError("'test' is neither true nor false")
            return cls(targets, _options(data["options"]), _whole(data["vectors"], MAX_VECTORS),
                       _whole(data["seed"], 1 << 128), data["test"])
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"the manifest's entry 'made_from' is damaged: {ascii(str(error))[1:-1][:120]}") from error


def _options(data: Any) -> Options:
    """Options of exactly the types that they have by default."""
    usual = Options()
    known = {field.name: getattr(usual, field.name) for field in fields(Options)}
    if set(data) != set(known):
        raise ValueError(f"it names other options than this version has: {sorted(set(data) ^ set(known))[:3]}")
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name in RULES:
            found[name] = tuple((_text(pattern), _whole(count, 1 << 20)) for pattern, count in _list(value))
        elif isinstance(known[name], str):
            found[name] = _text(value)
        else:
            found[name] = value if known[name] is None and value is None else _plain(value, known[name])
    return Options(**found)


def _plain(value: Any, usual: Any) -> Any:
    """A number or a truth value of the type that the option has; of what may be None, a whole number."""
    kind = int if usual is None else type(usual)
    if type(value) is not kind:
        raise ValueError(f"an option is {value!r}, which is no {kind.__name__}")
    return value


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a whole number from 0 to {most}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"{str(value)[:40]!r} is not text, or a long one")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_RULES:
        raise ValueError("a list is none, or a long one")
    return value
