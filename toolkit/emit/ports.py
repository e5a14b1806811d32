"""Several inputs and outputs as generated files tell them: names that are identifiers, and where their elements lie."""

from __future__ import annotations

from typing import Any

from toolkit.design import Design, Port
from toolkit.utils.identifiers import comment, identifiers


def told(design: Design) -> dict[str, list[dict[str, Any]]]:
    """For templates: `inputs` and `outputs` of a design that has several, each with its `name` as it may stand in a
    comment, `id` (an identifier, none twice on one side), `shape`, `size`, `start` and `stop`; empty lists where there
    is one."""
    return {"inputs": _side(design.ports.inputs, "input"), "outputs": _side(design.ports.outputs, "output")}


def _side(ports: tuple[Port, ...], fallback: str) -> list[dict[str, Any]]:
    names = identifiers([port.name for port in ports], fallback=fallback)
    return [{"name": comment(port.name), "id": names[port.name], "shape": list(port.shape),
             "size": port.size, "start": port.start, "stop": port.stop} for port in ports]


def lines(design: Design) -> list[str]:
    """Sentences for the head of a file, one for each input and each output of several."""
    return [f"{what} {port['name']}: elements {port['start']} to {port['stop'] - 1} of the {side}, shape "
            f"{' x '.join(map(str, port['shape']))}"
            for what, side, ports in (("input", "input", told(design)["inputs"]),
                                      ("output", "output", told(design)["outputs"])) for port in ports]


def bit_lines(design: Design) -> list[str]:
    """As `lines`, of streams that carry a sample a beat."""
    sides = told(design)
    return [f"{name} {port['name']}: {stream}_tdata[{port['stop'] * width - 1}:{port['start'] * width}], shape "
            f"{' x '.join(map(str, port['shape']))}"
            for name, stream, width, ports in (("input", "s_axis", design.input.format.width, sides["inputs"]),
                                               ("output", "m_axis", design.output.format.width, sides["outputs"]))
            for port in ports]
