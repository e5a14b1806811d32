"""Shiftwright: from a trained PyTorch network to hardware without a multiplier, proved bit by bit."""

__version__ = "0.1.0"
