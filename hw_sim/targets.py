"""The bench of each target: a module with `require(args)` and `run(manifest, args, say) -> Outcome`."""

TARGETS = {"verilog": "target_verilog", "hls": "target_hls", "c": "target_c", "hls4ml": "target_hls4ml"}
