"""Verilog-2001 from a plan: one module a layer, and a top module with AXI4-Stream."""

from toolkit.emit.verilog.emit import emit
from toolkit.emit.verilog.top import Verilog, verilog

__all__ = ["Verilog", "emit", "verilog"]
