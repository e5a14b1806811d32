"""What Shiftwright reaches, beside its targets and its peers: `python -m benchmarks`."""
