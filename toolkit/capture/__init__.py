"""From a model, wherever it came from, to one torch.fx graph of nn layers that can be pruned and trained."""

from toolkit.capture.archive import load_pt2
from toolkit.capture.capture import capture
from toolkit.capture.onnx import OnnxModule, QuantisedModel, load_onnx
from toolkit.capture.source import load_model

__all__ = ["OnnxModule", "QuantisedModel", "capture", "load_model", "load_onnx", "load_pt2"]
