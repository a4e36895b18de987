"""The contract between the server, its agents and its managers, and the client that keeps it; without Django."""
