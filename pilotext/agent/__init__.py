"""Agent: takes jobs from the server for its slots, and runs each by `pilotext run`."""
