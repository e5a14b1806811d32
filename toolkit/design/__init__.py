"""The integer network: formats, layers, exact ranges, the reference, the file format. Numpy and nothing else."""

from toolkit.design.design import Design
from toolkit.design.formats import FixedPoint, Overflow, Requantise, Rounding, union
from toolkit.design.layers import (
    LAYERS,
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Extremum,
    Layer,
    LayerRange,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Reorder,
    Reshape,
    Slopes,
    Upsample,
)
from toolkit.design.ports import Port, Ports
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.weights import IntegerFormat, Log2Format, TwoTermFormat, Weights, weight_format
from toolkit.design.windows import Window

__all__ = ["LAYERS", "Add", "ArgMax", "AvgPool", "Clamp", "Concat", "Conv", "Dense", "Design", "Extremum",
           "FixedPoint", "IntegerFormat", "Interval", "Layer", "LayerRange", "Leaky", "Log2Format", "Lookup", "MaxPool",
           "Multiply", "Overflow", "Port", "Ports", "Reorder", "Requantise", "Reshape", "Rounding", "Slopes", "Tensor",
           "TwoTermFormat", "Upsample", "Weights", "Window", "union", "weight_format"]
