"""Which hardware each layer gets, and what follows from it: adders, registers, latency. No text of any language."""

from toolkit.hardware.architecture import Architecture, choose
from toolkit.hardware.options import Options
from toolkit.hardware.plan import LayerPlan, Plan, plan

__all__ = ["Architecture", "LayerPlan", "Options", "Plan", "choose", "plan"]
