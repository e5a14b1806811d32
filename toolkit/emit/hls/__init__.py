"""The target `hls`: Vitis-HLS C++ from a design, unrolled or folded layer by layer."""

from toolkit.emit.hls.emit import emit

__all__ = ["emit"]
