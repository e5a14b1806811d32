"""How many elements a cycle the output of a folded layer can carry."""

from __future__ import annotations

from toolkit.design import Conv, Dense, Design
from toolkit.design.layers import Concat, Layer, Multiply, Reshape
from toolkit.hardware.workload import Parallel, Workload

ONE_BY_ONE = ("argmax", "reorder", "reshape")
"""Kinds whose own hardware takes and gives one element a cycle, or only what it is given."""


class Widths:
    """The rules of a design, by layer."""

    def __init__(self, design: Design, works: dict[str, Workload]) -> None:
        self.design, self.works = design, works
        self.readers: dict[str, list[Layer]] = {name: [] for name in design.tensors}
        for layer in design.layers:
            for name in layer.inputs:
                self.readers[name].append(layer)

    def allowed(self, layer: Layer, parallel: Parallel) -> bool:
        """Whether the layer can give `parallel.elements` a cycle, on its `pe` lanes."""
        return self._made(layer, parallel) and self._read(layer.name, parallel.elements)

    def least(self, layer: Layer, parallel: Parallel, words: int) -> int:
        """The fewest elements a cycle that bring the layer's output within `words` cycles; the most it can give where
        none do."""
        tensor = self.design.tensors[layer.name]
        rows, channels = tensor.size // tensor.shape[-1], tensor.shape[-1]
        most = 1
        for elements in range(1, channels + 1):
            if self.allowed(layer, Parallel(parallel.pe, parallel.simd, elements)):
                most = elements
                if rows * -(-channels // elements) <= words:
                    break
        return most

    def _made(self, layer: Layer, parallel: Parallel) -> bool:
        """Whether the layer's own hardware can."""
        elements, work = parallel.elements, self.works[layer.name]
        if elements == 1:
            return True
        if not parallel.pe:
            return isinstance(layer, Conv) and elements == self.design.tensors[layer.name].shape[-1]
        if layer.kind in ONE_BY_ONE or elements > self.design.tensors[layer.name].shape[-1]:
            return False
        if isinstance(layer, Dense | Conv):
            # Every group of lanes that works at once ends with a whole word.
            if work.groups > 1 and not work.across(parallel.pe):
                return work.outputs % elements == 0 and (work.outputs <= parallel.pe or parallel.pe % elements == 0)
            return parallel.pe >= work.most_lanes or parallel.pe % elements == 0
        shapes = [self.design.tensors[name].shape for name in layer.inputs]
        if isinstance(layer, Concat) and layer.axis == len(shapes[0]) - 1:
            return all(shape[-1] % elements == 0 for shape in shapes[:-1])
        if isinstance(layer, Multiply):
            return len({shape[-1] for shape in shapes}) == 1
        return True

    def _read(self, name: str, elements: int) -> bool:
        """Whether all that read a tensor can take its words: where its elements are seen in another shape, as whole
        words; the network's output goes out one by one."""
        if elements == 1:
            return True
        if name == self.design.output.name:
            return False
        for reader in self.readers[name]:
            if isinstance(reader, Reshape):
                sizes = self.design.tensors[name].shape[-1], self.design.tensors[reader.name].shape[-1]
                if any(size % elements for size in sizes) or not self._read(reader.name, elements):
                    return False
        return True
