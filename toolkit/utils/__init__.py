"""What every room may use: errors, output folders, limits, progress, and reading of untrusted files."""
