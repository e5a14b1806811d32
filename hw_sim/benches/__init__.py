"""The benches of the RTL: a player in Verilog and AXI4-Stream by cocotbext-axi, under Verilator."""
