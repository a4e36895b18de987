"""Points in time are columns of dates instead of seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

NOW: dict[str, Any] = {"default": django.utils.timezone.now}
SINCE_EVER: dict[str, Any] = {"default": EPOCH}
PERHAPS: dict[str, Any] = {"null": True}

COLUMNS: dict[str, dict[str, dict[str, Any]]] = {
    "agent": {"registered": NOW, "seen": NOW},
    "attempt": {"leased": NOW, "seen": NOW, "fetched": PERHAPS, "lease_until": {}, "ended": PERHAPS},
    "auditentry": {"at": NOW},
    "avoidedplace": {"until": {}},
    "breaker": {"due": SINCE_EVER, "since": SINCE_EVER, "changed": NOW},
    "cyclestep": {"at": NOW, "failing_since": PERHAPS},
    "factory": {"started": NOW, "seen": NOW},
    "factorylabel": {"message_at": SINCE_EVER},
    "job": {"not_before": SINCE_EVER, "created": NOW, "changed": NOW},
    "logarchive": {"busy_until": SINCE_EVER, "changed": NOW},
    "mergegroup": {"changed": NOW},
    "product": {"busy_until": SINCE_EVER, "changed": NOW},
    "signature": {"first": NOW, "last": NOW},
    "stagedfile": {"requested": PERHAPS, "online": PERHAPS, "busy_until": SINCE_EVER, "changed": NOW},
    "task": {"created": NOW, "changed": NOW},
    "token": {"created": NOW, "expires": PERHAPS, "revoked": PERHAPS},
    "verification": {"since": NOW, "busy_until": SINCE_EVER},
}

_END = f"{FOREVER.timestamp():.0f}"
_POSTGRES = {
    "real": "ALTER COLUMN {0} TYPE double precision USING extract(epoch FROM {0})",
    "datetime": "ALTER COLUMN {0} TYPE timestamptz"
    f" USING to_timestamp(CASE WHEN {{0}} > {_END} THEN {_END} WHEN {{0}} < 0 THEN 0 ELSE {{0}} END)",
}
_CACHE = "PRAGMA cache_size=-262144"
"""Of SQLite, in kB: room for the tables of a million jobs."""

_MICROSECONDS = f"CAST(round(min(max({{0}}, 0), {_END}) * 1e6) AS integer)"
_SQLITE = {
    "real": "CAST(strftime('%s', substr({0}, 1, 19)) AS integer) + CAST('0' || substr({0}, 20) AS real)",
    "datetime": f"strftime('%Y-%m-%d %H:%M:%S', {_MICROSECONDS} / 1000000, 'unixepoch') || CASE WHEN {_MICROSECONDS}"
    f" % 1000000 THEN printf('.%06d', {_MICROSECONDS} % 1000000) ELSE '' END",
}
"""Conversions by the database alone; points in time are as Django writes them to SQLite."""


def to_dates(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _convert(editor, "real", "datetime")


def to_seconds(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _convert(editor, "datetime", "real")


def _convert(editor: BaseDatabaseSchemaEditor, old: str, new: str) -> None:
    convert = _on_sqlite if editor.connection.vendor == "sqlite" else _on_postgres
    for model, columns in COLUMNS.items():
        convert(editor, f"production_{model}", [f'"{name}"' for name in columns], old, new)


def _on_postgres(editor: BaseDatabaseSchemaEditor, table: str, columns: list[str], _: str, new: str) -> None:
    editor.execute(f"ALTER TABLE {table} " + ", ".join(_POSTGRES[new].format(name) for name in columns))


def _on_sqlite(editor: BaseDatabaseSchemaEditor, table: str, columns: list[str], old: str, new: str) -> None:
    """Convert the values in place, without the indexes of these columns, and write the new types into the definition.

    SQLite has no statement that changes a type; its documentation describes this way for changes that do not concern
    how rows are stored. To copy the rows into another table takes three times as long.
    """
    database = editor.connection.connection
    database.execute(_CACHE)
    rows = database.execute("SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index'", [table])
    indexes = {name: sql for name, sql in rows.fetchall() if sql and any(column in sql for column in columns)}
    for name in indexes:
        editor.execute(f'DROP INDEX "{name}"')
    values = ", ".join(f"{column} = {_SQLITE[new].format(column)}" for column in columns)
    editor.execute(f"UPDATE {table} SET {values}", None)  # noqa: S608  names of our own
    (definition,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()
    for column in columns:
        definition, number = re.subn(rf"{column} {old}\b", f"{column} {new}", definition)
        assert number == 1, (table, column)
    (version,) = database.execute("PRAGMA schema_version").fetchone()
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [definition, table])
    database.execute(f"PRAGMA schema_version = {version + 1}")
    database.execute("PRAGMA writable_schema = RESET")
    for statement in indexes.values():
        editor.execute(statement, None)


class InOneGo(migrations.SeparateDatabaseAndState):
    """Change many fields without making all models anew after each of them, which takes longer than the rest."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        vars(state).pop("apps", None)
        super().state_forwards(app_label, state)


class Migration(migrations.Migration):
    dependencies = [("production", "0010_statistics")]

    operations = [
        InOneGo(
            [migrations.RunPython(to_dates, to_seconds)],
            [
                migrations.AlterField(model, name, models.DateTimeField(**options))
                for model, columns in COLUMNS.items()
                for name, options in columns.items()
            ],
        )
    ]
