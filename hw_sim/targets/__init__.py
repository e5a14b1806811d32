"""The bench of each target: a module with `require(args)` and `run(manifest, args, say) -> Outcome`."""

TARGETS = {"verilog": "targets.verilog", "hls": "targets.hls", "c": "targets.c", "hls4ml": "targets.hls4ml"}
