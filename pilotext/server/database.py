"""Where the server keeps its data, and how it writes: short transactions, whole or not at all."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from django.db import OperationalError, connection, transaction
from django.db.models import Model
from django.db.models.expressions import RawSQL

from pilotext.errors import UsageError
from pilotext.server.writer import Writer

T = TypeVar("T")

_TRIES = 4
_jitter = random.SystemRandom()

DEFAULT_URL = "sqlite:///pilotext.sqlite3"

# FULL: what was acknowledged survives a power cut. A reader never waits in WAL mode, a writer waits for the other one.
# Many threads read: each has a small cache of its own, and the file's pages in memory are for all of them.
_SQLITE_SETUP = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-8192; PRAGMA mmap_size=268435456"
)
_BUSY_TIMEOUT_S = 30.0


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for `sqlite:///FILE` (relative), `sqlite:////FILE`, or `postgresql://…` as libpq takes it.

    Raises UsageError for anything else; the URL is not quoted, since it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path.removeprefix("/")))
    if parts.scheme in ("postgresql", "postgres"):
        options = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.removeprefix("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
            "PORT": str(parts.port or options.pop("port", "")),
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": options,
        }
    raise UsageError("this is no database.", advice="Write sqlite:///FILE or postgresql://USER@HOST/NAME.")


def _sqlite(path: str) -> dict[str, Any]:
    if not path:
        raise UsageError("the database has no file.", advice="Write sqlite:///FILE.")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(path).absolute()),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",  # a transaction that began by reading could not wait for the writer
            "timeout": _BUSY_TIMEOUT_S,
            "init_command": _SQLITE_SETUP,
        },
    }


def url_from_environment() -> str:
    return os.environ.get("DATABASE_URL", DEFAULT_URL)


def insert_many(
    model: type[Model], same: Mapping[str, Any], differing: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert many rows: fields that are the `same` in all, then the `differing` ones, for each row in their order.

    The values of the differing fields go to the database as they are: `bulk_create` prepares every field of every row.
    """
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    prototype = model(**same)
    fixed = [field for field in fields if field.attname not in differing]
    column_of = {field.attname: field.column for field in fields}
    values = [field.get_db_prep_save(getattr(prototype, field.attname), connection) for field in fixed]
    columns = [*(field.column for field in fixed), *(column_of[name] for name in differing)]
    quoted = ", ".join(connection.ops.quote_name(str(column)) for column in columns)
    table = connection.ops.quote_name(model._meta.db_table)
    places = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({quoted}) VALUES ({places})", [(*values, *row) for row in rows])  # noqa: S608  names of our own


def insert_unless_there(model: type[Model], types: Mapping[str, str], columns: Sequence[Sequence[int | None]]) -> int:
    """Insert the rows of these columns, but for those whose key is there already; returns how many were inserted.

    `types` are the columns' names, the key first, with their types in PostgreSQL. Give the keys in their order: of two
    that insert the same ones at once, the second waits for the first, and never each for the other.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    names = ", ".join(map(connection.ops.quote_name, types))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            arrays = ", ".join(f"%s::{kind}[]" for kind in types.values())
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING",  # noqa: S608  names of our own
                [list(column) for column in columns],
            )
        else:
            places = ", ".join(["%s"] * len(types))
            rows = list(zip(*columns, strict=True))
            cursor.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608  names of our own
        return int(cursor.rowcount)


def spelled_out(words: Iterable[str]) -> list[RawSQL]:
    """Constants of our own as they stand in a statement: SQLite takes an index with a condition for nothing else."""
    constants = list(words)
    assert all(word.isalpha() or not word for word in constants)
    return [RawSQL(f"'{word}'", ()) for word in constants]  # noqa: S611  letters only


_writer: Writer | None = None


def share_commits() -> None:
    """From now on, the transactions of this process share commits; only where the database has one writer at a time."""
    global _writer  # noqa: PLW0603  one in a process, as the database is
    if connection.vendor == "sqlite" and _writer is None:
        _writer = Writer()


def transact(work: Callable[[], T]) -> T:
    """Do `work` in one transaction: all that it writes, or nothing.

    It is begun anew when the database breaks it off: two that wait for each other, a connection that was lost.
    """
    if connection.in_atomic_block:
        return work()
    if _writer is not None:
        shared, answer = _writer.do(work)
        if shared:
            return cast("T", answer)
    for number in range(_TRIES - 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError:
            connection.close_if_unusable_or_obsolete()
            time.sleep(_jitter.uniform(0.0, 0.05) * 2**number)
    with transaction.atomic():
        return work()
