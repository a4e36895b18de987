"""Database of the server: connection settings, and short transactions."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from django.db import OperationalError, connection, transaction
from django.db.models import F, Func, IntegerField, Model, QuerySet, Subquery
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

SPARE_CONNECTIONS = 2
"""Of a web process, beside one for each thread: for `/health`, and at its start."""

_MIGRATION_LOCK = 5_812_410_058
"""Number of an advisory lock of PostgreSQL; any number that nobody else uses."""

HOURS_LOCK = _MIGRATION_LOCK + 1
"""Number of the advisory lock under which the attempts of an hour are counted."""


_POSTGRES_OPTIONS = {
    "connect_timeout": "10",
    "tcp_user_timeout": "30000",  # milliseconds; a server that is away holds no thread for long
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=300s -c jit=off",  # compiling took longer
}


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for `sqlite:///FILE` (relative), `sqlite:////FILE`, or `postgresql://…` as libpq takes it.

    Raises UsageError for anything else; the URL is not quoted, since it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path.removeprefix("/")))
    if parts.scheme in ("postgresql", "postgres"):
        options = {**_POSTGRES_OPTIONS, **dict(parse_qsl(parts.query))}
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
    raise UsageError(
        "this is not the URL of a database.", advice="Write sqlite:///FILE or postgresql://USER@HOST/NAME."
    )


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


def check_connections(threads: int) -> None:
    """Raise UsageError if PostgreSQL has not enough connections left for a web process with so many threads."""
    if connection.vendor != "postgresql":
        return
    wanted = threads + SPARE_CONNECTIONS
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
        allowed, used = cursor.fetchone()
    connection.close()
    if allowed - used + 1 < wanted:  # one of those is this one
        raise UsageError(
            f"PostgreSQL allows {allowed} connections, {used - 1} are in use; this process may need {wanted}.",
            advice="Lower --threads (each may hold one connection), or raise max_connections in postgresql.conf.",
        )


def make_private(settings: Mapping[str, Any]) -> None:
    """Make an SQLite database, with its write-ahead log, a file that its owner alone can read.

    Raises UsageError for a file of somebody else.
    """
    if settings["ENGINE"] != "django.db.backends.sqlite3":
        return
    path = Path(settings["NAME"])
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for each in (path, *(path.with_name(path.name + ending) for ending in ("-wal", "-shm"))):
            if each.exists() and each.stat().st_mode & 0o077:
                each.chmod(0o600)
    except OSError as error:
        raise UsageError(
            f"the database file {path} cannot be used: {error.strerror}.",
            advice="Its folder has to exist, and the user of the server has to own it.",
        ) from None


@contextmanager
def one_migration(settings: Mapping[str, Any]) -> Iterator[None]:
    """Wait until no other process migrates this database, and keep others waiting meanwhile."""
    if settings["ENGINE"] == "django.db.backends.sqlite3":
        path = Path(settings["NAME"])
        with path.with_name(f"{path.name}-migration").open("a") as file:  # SQLite itself locks the database file
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])


def hold_until_committed(lock: int) -> None:
    """Wait for this advisory lock of PostgreSQL, and hold it until the end of the transaction.

    For rows that are written anew as a whole, where there may be none yet that could be locked. SQLite has one writing
    transaction at a time anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])


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


def number_of(rows: QuerySet[Any], column: str = "pk") -> Subquery:
    """Return the number of these rows, whose `column` is not NULL, as a value of the rows of another query."""
    number = Func(F(column), function="COUNT", output_field=IntegerField())
    return Subquery(rows.order_by().annotate(counted_rows=number).values("counted_rows"))


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
