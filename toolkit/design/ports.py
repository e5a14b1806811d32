"""Ports: which elements of a design's input and output are which of the network's several inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_VALUE
from toolkit.utils.untrusted import encodes

MAX_PORTS = 256
"""Inputs, or outputs, of one network."""
MAX_NAME, MAX_RANK = 200, 8


@dataclass(frozen=True)
class Port:
    """One input or output: elements `start` .. `stop` of all of them, in the order of `shape`, the last axis the
    fastest."""

    name: str
    shape: tuple[int, ...]
    start: int = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def elements(self) -> slice:
        """Of a row of all elements."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Ports:
    """The inputs of a network, one after the other, and its outputs. Empty where there is one: then it is the design's
    own input, or output."""

    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs)

    def to_json(self) -> dict[str, Any]:
        """`inputs` and `outputs`, those that are there, as `entries` says them."""
        return {side: entries(ports) for side, ports in (("inputs", self.inputs), ("outputs", self.outputs)) if ports}

    @classmethod
    def from_json(cls, record: Any) -> Ports:
        """The inverse. Raises InputError for what is none."""
        if not isinstance(record, dict) or not record or not set(record) <= {"inputs", "outputs"}:
            raise InputError("its record of inputs and outputs is damaged: it holds lists 'inputs' and 'outputs'")
        return cls(*(_read(side, record.get(side, [])) for side in ("inputs", "outputs")))

    def check(self, input_size: int, output_size: int) -> None:
        """Raise InputError unless they are consecutive and as large together as a design's input and output."""
        for what, ports, size in (("inputs", self.inputs, input_size), ("outputs", self.outputs, output_size)):
            if not ports:
                continue
            if len(ports) > MAX_PORTS:
                raise InputError(f"it has {len(ports):,} {what}; {MAX_PORTS} are the most supported")
            at = 0
            for port in ports:
                if not 0 < len(port.name) <= MAX_NAME or not encodes(port.name):
                    raise InputError(f"one of its {what} has no name that can be written, or one of more than "
                                     f"{MAX_NAME} characters: '{port.name[:40]}'")
                if not 0 < len(port.shape) <= MAX_RANK or min(port.shape) < 1:
                    raise InputError(f"'{port.name}' of its {what} has the impossible shape {str(port.shape)[:80]}")
                if port.start != at or port.stop > MAX_VALUE:
                    raise InputError(f"'{port.name}' of its {what} begins at element {port.start:,}, where element "
                                     f"{at:,} is due, or is too large")
                at = port.stop
            if at != size:
                raise InputError(f"its {what} have {at:,} elements together, and it has {size:,}")
            if len({port.name for port in ports}) != len(ports):
                raise InputError(f"two of its {what} have one name")


def consecutive(named: Iterable[tuple[str, tuple[int, ...]]]) -> tuple[Port, ...]:
    """Ports of these names and shapes, one after the other."""
    pairs = [(name, tuple(shape)) for name, shape in named]
    starts = accumulate((prod(shape) for _, shape in pairs), initial=0)
    return tuple(Port(name, shape, start) for (name, shape), start in zip(pairs, starts, strict=False))


def entries(ports: Iterable[Port]) -> list[dict[str, Any]]:
    """What files say of each: its name, its shape, its elements from `start` to before `stop`."""
    return [{"name": p.name, "shape": list(p.shape), "start": p.start, "stop": p.stop} for p in ports]


def _read(what: str, record: Any) -> tuple[Port, ...]:
    if not isinstance(record, list) or len(record) > MAX_PORTS:
        raise InputError(f"its {what} are no list of at most {MAX_PORTS}")
    found = []
    for entry in record:
        if not isinstance(entry, dict) or set(entry) != {"name", "shape", "start", "stop"}:
            raise InputError(f"one of its {what} has not just a name, a shape, a start and a stop")
        name, shape, start, stop = (entry[key] for key in ("name", "shape", "start", "stop"))
        if not isinstance(name, str) or not isinstance(shape, list) or len(shape) > MAX_RANK or not all(
                type(n) is int and abs(n) <= MAX_VALUE for n in (*shape, start, stop)):
            raise InputError(f"one of its {what} has a name that is no text, or numbers that are none")
        port = Port(name, tuple(shape), start)
        if port.stop != stop:
            raise InputError(f"'{name[:40]}' of its {what} stops at element {stop:,}, and its shape says {port.stop:,}")
        found.append(port)
    return tuple(found)
