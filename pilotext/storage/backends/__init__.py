"""Storage back-ends: one module for each kind of storage system, named in `pilotext.storage.registry`."""
