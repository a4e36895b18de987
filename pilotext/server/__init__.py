"""The production server: tasks in, trustworthy outputs out. `docs/server.md` is the map of its rooms.

Nothing here may be imported before `pilotext.server.boot.boot`, but for `production.submission`, `settings` and what
needs no tables.
"""
