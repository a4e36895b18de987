"""A database of its own for each test, made from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.server.boot import boot, migrate

boot()

from django.db import connection, connections  # noqa: E402  needs boot

from pilotext.server.api import auth  # noqa: E402


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "migrated.sqlite3"
    _use(path)
    migrate()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Path]:
    """The file of a fresh database, which this process uses."""
    path = tmp_path / "server.sqlite3"
    shutil.copyfile(migrated, path)
    _use(path)
    auth.forget()
    yield path
    connection.close()


def _use(path: Path) -> None:
    connection.close()
    connections["default"].settings_dict["NAME"] = str(path)
