"""Training: the loop, distillation and its students, and what a user brings to it."""
