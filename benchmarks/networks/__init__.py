"""Where every design of the tests and of the benchmarks comes from: built by hand, the same on every machine, or drawn.
What hypothesis draws is in `strategies`, which is not imported here: benchmarks run without hypothesis."""

from benchmarks.networks.by_hand import (
    dense,
    integers,
    network,
    random_codes,
    random_conv,
    random_dense,
    random_weights,
    tiny,
)
from benchmarks.networks.every import SMALL, WIDE, every_folded_layer, every_image_layer, every_layer
from benchmarks.networks.inputs import corners
from benchmarks.networks.measured import log2_weights, mlp, samples
from benchmarks.networks.seeded import random_elements, random_folded, random_gated

__all__ = ["SMALL", "WIDE", "corners", "dense", "every_folded_layer", "every_image_layer", "every_layer", "integers",
           "log2_weights", "mlp", "network", "random_codes", "random_conv", "random_dense", "random_elements",
           "random_folded", "random_gated", "random_weights", "samples", "tiny"]
