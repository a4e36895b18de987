"""An empty database for each test, made from one that was migrated once: every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fixtures.servers.postgres import folder_in_memory, serving_postgres
from pilotext.server.boot import boot, migrate
from pilotext.server.database import database_settings

boot()

from django.db import connection, connections  # noqa: E402  needs boot
from django.test import override_settings  # noqa: E402

from pilotext.server.api import agents, auth  # noqa: E402
from pilotext.server.production.cycle import status  # noqa: E402
from pilotext.server.production.statistics import counts  # noqa: E402
from tests.server.reused_database import ReusedDatabase  # noqa: E402

Maker = Callable[[], str]
"""Makes a fresh database and returns its URL."""

_number = itertools.count(1)


@pytest.fixture(scope="session")
def sqlite_databases() -> Iterator[Maker]:
    folder = Path(tempfile.mkdtemp(prefix="pilotext-databases-", dir=folder_in_memory()))
    use(f"sqlite:///{folder / 'migrated'}")
    migrate()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

    def make() -> str:
        path = folder / f"test-{next(_number)}"
        shutil.copyfile(folder / "migrated", path)
        return f"sqlite:///{path}"

    yield make
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[Maker]:
    with serving_postgres(options=["autovacuum=off"]) as server:
        _execute(server.url(), "CREATE DATABASE migrated")
        use(server.url("migrated"))
        migrate()
        # To copy the files takes a fourth of the time of writing them to the log; older releases know nothing else.
        strategy = "STRATEGY file_copy" if connection.get_database_version() >= (15,) else ""
        connection.close()

        def make() -> str:
            name = f"test_{next(_number)}"
            _execute(server.url(), f"CREATE DATABASE {name} TEMPLATE migrated {strategy}")
            return server.url(name)

        yield make


@pytest.fixture(scope="session")
def reused_database(postgres_databases: Maker) -> Iterator[ReusedDatabase]:
    reused = ReusedDatabase(postgres_databases, use, _drop)
    yield reused
    reused.close()


@pytest.fixture
def new_sqlite(sqlite_databases: Maker) -> Iterator[str]:
    url = sqlite_databases()
    use(url)
    yield url
    connection.close()
    _drop(url)


@pytest.fixture
def empty_postgres(reused_database: ReusedDatabase) -> Iterator[str]:
    yield reused_database.take()
    reused_database.give_back()


@pytest.fixture(params=["new_sqlite", "empty_postgres"], ids=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, which this process uses."""
    url: str = request.getfixturevalue(request.param)
    for known in (agents.dispatcher, auth, counts, status):  # of the test before
        known.forget()
    return url


@pytest.fixture(autouse=True)
def believing(request: pytest.FixtureRequest) -> Iterator[None]:
    """The reports of most tests here are made up, and no file stands behind them: the server takes them as true.

    A test that uses the fixture `comparing` has the server compare the files first, as it does in a production.
    """
    with override_settings(VERIFY_OUTPUTS="comparing" in request.fixturenames):
        yield


@pytest.fixture
def comparing() -> None:
    """Have the server compare published files; see `believing`."""


def use(url: str) -> None:
    """Let every thread of this process that connects from now on use this database."""
    connection.close()
    connections.settings["default"] = connections.configure_settings({"default": database_settings(url)})["default"]
    del connections["default"]


def _drop(url: str) -> None:
    """Remove a database; a thousand of them, of 8 MB each, would be removed for minutes at the end."""
    path = urlsplit(url).path
    if url.startswith("sqlite:"):
        for suffix in ("", "-wal", "-shm"):
            Path(path + suffix).unlink(missing_ok=True)
    else:
        _execute(url.replace(f"{path}?", "/postgres?"), f"DROP DATABASE {path[1:]} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    use(url)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
