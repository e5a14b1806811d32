"""A radio link on paper: mapping, noise, a channel, its classical receivers, closed forms, error counts. numpy only.

Bits are uint8; a log-likelihood ratio is positive where the bit is more likely a 1. Signals are real: a complex symbol
is a pair (in-phase, quadrature).
"""
