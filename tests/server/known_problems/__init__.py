"""Problems of the production system before this one, that must not come back; docs/known-problems.md lists all."""
