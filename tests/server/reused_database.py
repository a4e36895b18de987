"""One database of PostgreSQL for many tests: to make one takes 40 ms and much disk, to empty one a few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_USES = 200
"""Tests that share a database: rows that were removed take room in it until somebody cleans up, which costs more."""

_SCHEMA = """
SELECT md5(concat(
    (SELECT string_agg(concat(oid, relname, relchecks, relhastriggers), ',' ORDER BY oid) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(concat(attrelid, attname, attnotnull, atthasdef), ',' ORDER BY attrelid, attnum)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_'),
    (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM auth_permission), (SELECT count(*) FROM django_content_type)
))
"""
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
AND relname NOT IN ('auth_permission', 'django_content_type', 'django_migrations') ORDER BY relname
"""
"""Those that tests write to. Migrations write to the others, which change the schema."""

_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
_SESSION = "RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; SELECT pg_advisory_unlock_all()"
_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class _New:
    """A database as it was made: its schema, and statements that bring its rows back."""

    name: str
    schema: str
    emptying: str


class ReusedDatabase:
    """A database that is emptied between tests, and made anew when a test has changed more than rows of its own.

    Its connection stays open while other tests use other databases: a new one takes 20 ms.
    """

    def __init__(self, make: Callable[[], str], use: Callable[[str], None], drop: Callable[[str], None]) -> None:
        self._make, self._use, self._drop = make, use, drop
        self._url = ""
        self._uses = 0
        self._new = _New("", "", "")
        self._connection: BaseDatabaseWrapper | None = None

    def take(self) -> str:
        """Return the URL of the database, which is empty, and use it."""
        if not self._url:
            self._url, self._uses = self._make(), 0
            self._use(self._url)
            self._new = _look()
        elif self._connection is not None:
            connection.close()
            connections.settings["default"] = self._connection.settings_dict
            connections["default"] = self._connection
        self._uses += 1
        return self._url

    def give_back(self) -> None:
        """Empty the database; drop it if it is not as it was made then, or was used often."""
        if connection.settings_dict["NAME"] != self._new.name or connection.in_atomic_block:
            self._use(self._url)
        elif connection.connection is not None and not connection.is_usable():
            connection.close()
        if self._uses >= MAX_USES or not self._emptied():
            connection.close()
            self._drop(self._url)
            self._url, self._connection = "", None
        else:
            self._connection = connections["default"]
            del connections["default"]  # whoever uses another database now closes what is current

    def close(self) -> None:
        """Close the connection that waits for the next test."""
        if self._connection is not None:
            self._connection.close()

    def _emptied(self) -> bool:
        connection.execute_wrappers.clear()
        connection.run_on_commit.clear()
        connection.queries_log.clear()
        connection.force_debug_cursor = False
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            connection.init_connection_state()
            cursor.execute(_OTHERS)
            cursor.execute(_SCHEMA)
            if cursor.fetchone() != (self._new.schema,):
                return False
            cursor.execute(self._new.emptying)
        return True


def _look() -> _New:
    """Look at a database that was just made, and keep copies of its rows in it."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute("CREATE SCHEMA kept")
        filled = []
        for table in tables:
            cursor.execute(f'CREATE TABLE kept."{table}" AS TABLE public."{table}"')
            filled += [table] if cursor.rowcount else []
        cursor.execute(_SEQUENCES)
        numbers = cursor.fetchall()
        cursor.execute(_SCHEMA)
        (schema,) = cursor.fetchone()
    statements = [
        "BEGIN",
        "SET LOCAL session_replication_role = replica",  # no checks of references: all rows go
        *(f'DELETE FROM public."{table}"' for table in tables),
        *(f'INSERT INTO public."{table}" SELECT * FROM kept."{table}"' for table in filled),
        *(f"SELECT setval('public.\"{name}\"', {last or 1}, {last is not None})" for name, last in numbers),
        "COMMIT",
    ]
    return _New(connection.settings_dict["NAME"], schema, "; ".join(statements))
