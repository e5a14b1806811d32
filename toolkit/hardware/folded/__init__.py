"""Folded hardware: layers that take many clocks a sample, joined by streams of one element a clock."""

from toolkit.hardware.folded.plan import FoldedPlan, plan_folded

__all__ = ["FoldedPlan", "plan_folded"]
