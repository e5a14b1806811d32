"""The integer network: exact ranges, reference, file. All that generation needs, nothing of torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from toolkit.design import file, ranges, reference
from toolkit.design.layers import Layer, LayerRange
from toolkit.design.network import Network
from toolkit.design.ports import Ports
from toolkit.design.tensors import Tensor


class Design(Network):
    """A `Network` whose every accumulator has a proven range."""

    @cached_property
    def ranges(self) -> dict[str, LayerRange]:
        """The exact range of every layer's accumulators and outputs, by layer name."""
        return ranges.analyse(self)

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """Input codes (n, *input.shape) to output codes (n, *output.shape), int64, exact."""
        return reference.run(self, self.ranges, codes)

    def trace(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """As `reference`, but every tensor by name (the input included)."""
        return reference.trace(self, self.ranges, codes)

    def watch(self, codes: np.ndarray, elements: Mapping[str, np.ndarray]) -> np.ndarray:
        """int64 (n, watched): the `elements` (int indices) of each layer's output, by layer name, side by side in the
        order of the layers; as `trace`, without keeping all the others."""
        return reference.watch(self, self.ranges, codes, elements)

    def save(self, path: Path | str) -> None:
        """Write the design as one `.swd` file; the same design gives the same bytes."""
        file.save(self, Path(path))

    @classmethod
    def load(cls, path: Path | str) -> Design:
        """Read a `.swd` file; whatever is wrong with it is an InputError that says so."""
        def proved(name: str, tensor: Tensor, layers: tuple[Layer, ...], ports: Ports) -> Design:
            design = cls(name, tensor, layers, ports)
            _ = design.ranges  # a design whose accumulators cannot be proved is no use to anyone
            return design

        return file.load(Path(path), proved)
