"""How large a network may be, wherever it comes from: its tensors, its weights, its work."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from toolkit.utils.errors import InputError

MAX_VALUE = 1 << 22
"""Elements of one sample's tensor."""
MAX_VALUES = 1 << 24
"""Elements of all activations of one sample together."""
MAX_PRODUCTS = 1 << 30
"""Multiplications, or comparisons in pools, that one sample takes."""
MAX_PATCHES = 1 << 25
"""Elements of all windows of one convolution."""
MAX_LAYERS = 2_000
MAX_AXES = 8
MAX_STEPS = 1_000
"""Operations of an .onnx file that are left when constants are evaluated and what does nothing is dropped."""
SPARE = 1 << 24
"""Elements of weights that a network may have beyond four times those that are stored: what is shared is copied."""


class Budget:
    """Counts what a network takes, and refuses what is beyond the limits."""

    def __init__(self) -> None:
        self.values = self.products = 0

    def tensor(self, shape: Iterable[int], place: str) -> None:
        """Count an activation of such a shape, the batch not counted."""
        shape = tuple(shape)
        size = prod(shape)
        self.values += size
        if size > MAX_VALUE or len(shape) > MAX_AXES:
            raise InputError(f"the network makes {size:,} elements a sample in {len(shape)} axes at '{place[:60]}'; "
                             f"{MAX_VALUE:,} in {MAX_AXES} are the most supported")
        if self.values > MAX_VALUES:
            raise InputError(f"the network makes more than {MAX_VALUES:,} elements a sample in all its layers, "
                             "which is the most supported")

    def work(self, products: int, place: str) -> None:
        """Count the multiplications of one sample in a layer."""
        self.products += products
        if self.products > MAX_PRODUCTS:
            raise InputError(f"the network takes more than {MAX_PRODUCTS:,} multiplications a sample at "
                             f"'{place[:60]}', which is the most supported")
