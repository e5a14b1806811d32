"""Data from files and from Python: readers of each format, one check of what they read, and what is told of it."""

from toolkit.compress.data.data import Data, without_outliers

__all__ = ["Data", "without_outliers"]
