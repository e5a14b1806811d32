"""Quantisation: grids, rounding, calibration, the layers that stand for quantised ones in training."""
