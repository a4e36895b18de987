"""Choice of the lines that a condition must be tried on: by hyperscan, or by literal texts."""
