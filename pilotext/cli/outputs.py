"""`pilotext outputs`."""
