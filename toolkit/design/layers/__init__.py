"""The layers a design can hold: one file each, and this table. A new layer is a new file and one line here."""

from toolkit.design.layers.add import Add
from toolkit.design.layers.argmax import ArgMax
from toolkit.design.layers.avgpool import AvgPool
from toolkit.design.layers.base import Layer, LayerRange
from toolkit.design.layers.clamp import Clamp
from toolkit.design.layers.concat import Concat
from toolkit.design.layers.conv import Conv
from toolkit.design.layers.dense import Dense
from toolkit.design.layers.extremum import Extremum
from toolkit.design.layers.leaky import Leaky
from toolkit.design.layers.lookup import Lookup
from toolkit.design.layers.maxpool import MaxPool
from toolkit.design.layers.multiply import Multiply
from toolkit.design.layers.reorder import Reorder
from toolkit.design.layers.reshape import Reshape
from toolkit.design.layers.slopes import Slopes
from toolkit.design.layers.upsample import Upsample

LAYERS: dict[str, type[Layer]] = {layer.kind: layer for layer in (
    Dense, Conv, MaxPool, AvgPool, Upsample, Add, Multiply, Concat, Reshape, Reorder, Clamp, Leaky, Lookup, ArgMax,
    Extremum, Slopes)}

__all__ = ["LAYERS", "Add", "ArgMax", "AvgPool", "Clamp", "Concat", "Conv", "Dense", "Extremum", "Layer",
           "LayerRange", "Leaky", "Lookup", "MaxPool", "Multiply", "Reorder", "Reshape", "Slopes", "Upsample"]
