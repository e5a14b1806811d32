"""The bench of each target: a module with `require(args)` and `run(manifest, args, say) -> Outcome`."""

TARGETS = {"verilog": "target_verilog", "hls4ml": "target_hls4ml"}
