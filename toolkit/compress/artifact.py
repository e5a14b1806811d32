"""Each compressed network as files: a `.swd` where hardware can be made of it, else arrays and the graph as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import fx

from toolkit.compress.data import Data
from toolkit.compress.measure.measures import Step
from toolkit.compress.measure.outcomes import accuracy, error, task_ber
from toolkit.compress.quantisation.layout import hardware_order, has_images, pytorch_ports, standing
from toolkit.compress.serialise import described, rebuilt
from toolkit.compress.training.loop import evaluate
from toolkit.design import ArgMax, Design
from toolkit.utils.errors import InputError
from toolkit.utils.threads import threads
from toolkit.utils.untrusted import Archive, read_json

SCHEMA = 1
SPARE, PER_BYTE = 1 << 23, 8
"""Numbers that all arrays may hold, and how many more for each byte of their file."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A network that was loaded. `manifest` is its JSON; one of `design` and `graph` is there."""

    manifest: dict[str, Any]
    design: Design | None
    graph: fx.GraphModule | None

    @threads()
    def outputs(self, samples: np.ndarray) -> np.ndarray:
        """Real outputs (n, outputs) for real samples (n, *shape)."""
        if self.design is not None:
            last = bool(self.manifest.get("channels_last"))
            ports = pytorch_ports(self.design.ports, last)
            codes = self.design.reference(self.design.input.quantise(hardware_order(samples, ports.inputs, last)))
            real = self.design.output.format.value(codes.reshape(len(samples), -1))
            return real[:, np.argsort(standing(ports.outputs, last))] if ports.outputs else real
        assert self.graph is not None
        return evaluate(self.graph, samples)

    def accuracy(self, data: Data) -> float | None:
        """As the row says it: the share of test samples (or bits) that are right."""
        found = self.outputs(data.x_test)
        if self.design is not None and isinstance(self.design.layers[-1], ArgMax):
            return None if data.y_test is None else float((found[:, 0] == data.y_test).mean())
        return accuracy(found, data.y_test, data.task)

    def measured(self, data: Data) -> dict[str, float | None]:
        """Accuracy, task BER and error as the row says them."""
        found = self.outputs(data.x_test)
        return {"accuracy": self.accuracy(data), "task_ber": task_ber(found, data.y_test, data.task),
                "error": error(found, data.y_test, data.task)}


def save(folder: Path, name: str, scheme: str, step: Step, graph: fx.GraphModule, design: Design | None) -> Path:
    """Write NAME.json beside NAME.swd or NAME.npz; returns the JSON's path."""
    manifest: dict[str, Any] = {"schema": SCHEMA, "name": name, "scheme": scheme, **step.to_json()}
    if design is not None:
        manifest |= {"design": f"{name}.swd", "channels_last": has_images(graph)}
        design.save(folder / manifest["design"])
    else:
        manifest["arrays"] = f"{name}.npz"
        manifest["input_shape"] = list(graph.meta["input_shape"])
        if graph.meta["ports"]:
            manifest["ports"] = graph.meta["ports"].to_json()
        manifest["graph"], arrays = described(graph)
        np.savez(folder / manifest["arrays"], allow_pickle=False, **arrays)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def load(path: Path | str) -> Artifact:
    """Read what `save` wrote; the file beside it must lie in the same folder. No pickle is loaded."""
    path = Path(path)
    try:
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise InputError(f"'{path}' is not an artifact of schema {SCHEMA}")
        file = str(manifest.get("design") or manifest.get("arrays"))
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", file) or file.startswith("."):
            raise InputError(f"'{path}' names the file '{file[:60]}', which is not a plain name")
        if "design" in manifest:
            return Artifact(manifest, Design.load(path.parent / file), None)
        with Archive(path.parent / file, "the weights", SPARE, PER_BYTE) as archive:
            arrays = {name.removesuffix(".npy"): archive.array(name, "fiub") for name in archive.members}
        return Artifact(manifest, None, rebuilt(manifest, arrays))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, EOFError) as problem:
        raise InputError(f"'{path}' is not an artifact, or a damaged one: {str(problem)[:200]}") from problem
