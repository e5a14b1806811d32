"""Mutation run: does a test fail when a line of the program is wrong? `python -m benchmarks.mutation`, or `make mutate`."""
