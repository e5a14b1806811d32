"""Mutation run: does a test fail when a line of the program is wrong? `make mutate`."""
