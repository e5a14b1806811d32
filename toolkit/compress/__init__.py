"""The compression front end: pruning and quantisation of a captured graph, trained, measured, lowered to a design."""

from toolkit.compress.baseline import Baselines, Settings
from toolkit.compress.compress import Compressed, compress
from toolkit.compress.data import Data
from toolkit.compress.scheme import Scheme

__all__ = ["Baselines", "Compressed", "Data", "Scheme", "Settings", "compress"]
