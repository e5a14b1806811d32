"""Verilog-2001 of folded hardware: one module a layer, FIFOs, and a top module with AXI4-Stream."""

from toolkit.emit.verilog.folded.top import verilog_folded

__all__ = ["verilog_folded"]
