"""What the demo and the benchmarks run on: networks, and data that comes with a library."""
