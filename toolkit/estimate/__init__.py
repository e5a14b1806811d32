"""What a design occupies: exactly, from the design itself, where that is possible."""
