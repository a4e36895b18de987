"""The production server: tasks in, trustworthy outputs out. `docs/architecture.md` shows its packages.

Nothing here may be imported before `pilotext.server.boot.boot`, but for `production.submission`, `settings` and what
needs no tables.
"""
