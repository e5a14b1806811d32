"""What compression did to a network: sizes, bit error rates, accuracy, and the intervals of these."""
