"""Other tools on the same integer network: bit-exact first, then measured."""
