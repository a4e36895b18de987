"""Documents to records and back: JSON, YAML with the place of each error, JSON Schema."""
