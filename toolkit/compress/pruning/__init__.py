"""Pruning: whole channels with all that depends on them, and single weights."""
