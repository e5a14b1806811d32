"""Folded hardware: layers that take many cycles a sample, joined by streams of one element a cycle, or of several."""

from toolkit.hardware.folded.plan import FoldedPlan, plan_folded

__all__ = ["FoldedPlan", "plan_folded"]
