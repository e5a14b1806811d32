"""How many elements a cycle the output of a folded layer can carry."""

from __future__ import annotations

from dataclasses import replace

from toolkit.design import Conv, Dense, Design
from toolkit.design.layers import Concat, Layer, Multiply, Reshape
from toolkit.hardware.words import Words
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

    def least(self, layer: Layer, chosen: dict[str, Parallel], pace: int) -> int:
        """The fewest elements a cycle that bring what the layer does, its output, and what turns words of other widths
        into its own and its own into its readers', within `pace` cycles; the most it can give where none do. `chosen`
        holds the layers before it, and the lanes of all."""
        one = chosen[layer.name]
        channels = self.design.tensors[layer.name].shape[-1]
        able = [n for n in range(1, channels + 1) if self.allowed(layer, replace(one, elements=n))]
        for elements in able:
            wide = replace(one, elements=elements)
            if max(self._cycles(layer, wide), self._conversions(layer, wide, chosen)) <= pace:
                return elements
        return min(able, key=lambda n: (max(self._cycles(layer, replace(one, elements=n)),
                                            self._conversions(layer, replace(one, elements=n), chosen)), n))

    def _cycles(self, layer: Layer, one: Parallel) -> int:
        """Cycles of the layer and of its output's words."""
        tensor = self.design.tensors[layer.name]
        return max(0 if self.works[layer.name].weighted else self.works[layer.name].cycles(one),
                   Words(tensor.shape, one.elements).count)

    def _conversions(self, layer: Layer, one: Parallel, chosen: dict[str, Parallel]) -> int:
        """Words of the longest of all streams between the layer and its neighbours."""
        most = 0
        for name in layer.inputs:
            if not self.works[layer.name].weighted and name in chosen:
                words = Words(self.design.tensors[name].shape, chosen[name].elements)
                most = max([most, *(step.count for step in words.conversions(one.elements))])
        for reader in self._weighted_readers(layer.name):
            x = self.design.tensors[reader.inputs[0]]
            words = Words(x.shape, one.elements)
            wanted = self._reads(reader, chosen[reader.name], x.shape[-1])
            most = max([most, *(step.count for step in words.conversions(wanted))])
        return most

    def _weighted_readers(self, name: str) -> list[Layer]:
        """The layers of weights that read a tensor, as it is or in another shape."""
        found: list[Layer] = []
        for reader in self.readers[name]:
            if isinstance(reader, Dense | Conv):
                found.append(reader)
            elif isinstance(reader, Reshape):
                found += self._weighted_readers(reader.name)
        return found

    def _reads(self, layer: Layer, one: Parallel, channels: int) -> int:
        """How many elements a cycle a layer of weights takes."""
        work = self.works[layer.name]
        if work.windowed(one.simd) or (not one.pe and isinstance(layer, Conv)):
            return channels
        return work.across(one.pe) or one.simd

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
