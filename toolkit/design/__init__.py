"""The integer network: formats, layers, exact ranges, the reference, the file format. Numpy and nothing else."""

from toolkit.design.design import Design
from toolkit.design.formats import FixedPoint, Overflow, Requantise, Rounding, union
from toolkit.design.layers import LAYERS, Add, ArgMax, Clamp, Concat, Dense, Layer, LayerRange, Reshape
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.weights import IntegerFormat, Log2Format, TwoTermFormat, Weights, weight_format

__all__ = ["LAYERS", "Add", "ArgMax", "Clamp", "Concat", "Dense", "Design", "FixedPoint", "IntegerFormat", "Interval",
           "Layer", "LayerRange", "Log2Format", "Overflow", "Requantise", "Reshape", "Rounding", "Tensor",
           "TwoTermFormat", "Weights", "union", "weight_format"]
