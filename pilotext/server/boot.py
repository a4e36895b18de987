"""Makes Django ready in this process; nothing of the server may be imported before."""

from __future__ import annotations

import gc
import os

import django

PRIVATE_UMASK = 0o077
GC_THRESHOLDS = (50_000, 20, 50)
"""New objects before the youngest generation is collected, and collections of one before that of the next older."""


def boot(database: str | None = None) -> None:
    """Set up Django, with this database if one is given, else that of the environment."""
    if database is not None:
        os.environ["DATABASE_URL"] = database
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pilotext.server.settings")
    django.setup()


def collect_garbage_less_often() -> None:
    """Let Python's cyclic collector leave what is loaded now alone, and look at new objects less often.

    For processes that run long, once all is imported. A query of Django makes thousands of objects, none of them in a
    cycle: by Python's thresholds (700, 10, 10) an eighth of the time was spent on looking through them, and a page
    that met a full collection took twice as long (`benchmarks/pages`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def keep_private() -> None:
    """Let nobody but the owner of this process read the database file, and what this process makes from now on."""
    from django.db import connection  # noqa: PLC0415  needs Django to be set up

    from pilotext.server.database import make_private  # noqa: PLC0415

    os.umask(PRIVATE_UMASK)
    make_private(connection.settings_dict)


def check_connections(threads: int) -> None:
    """Raise UsageError if the database has not enough connections left for a web process with so many threads."""
    from pilotext.server import database  # noqa: PLC0415  needs Django to be set up

    database.check_connections(threads)


def database_vendor() -> str:
    """Return `sqlite` or `postgresql`."""
    from django.db import connection  # noqa: PLC0415  needs Django to be set up

    return connection.vendor


def database_name() -> str:
    """Return the name of the database for people: without user and password."""
    from django.db import connection  # noqa: PLC0415  needs Django to be set up

    known = connection.settings_dict
    where = f" at {known['HOST']}" if known.get("HOST") else ""
    return f"{connection.display_name} {known['NAME']}{where}"


def migrate() -> None:
    """Bring the database's tables to this version, and what it knows of the experiments to that of their profiles.

    Tasks of a version that knew no owners of names get theirs.
    """
    from django.core.management import call_command  # noqa: PLC0415  needs Django to be set up
    from django.db import connection  # noqa: PLC0415

    from pilotext.server.database import one_migration  # noqa: PLC0415
    from pilotext.server.production.access.people import make_groups  # noqa: PLC0415
    from pilotext.server.production.profiles import remember_all  # noqa: PLC0415
    from pilotext.server.production.submission.backfill import name_tasks  # noqa: PLC0415

    with one_migration(connection.settings_dict):
        call_command("migrate", verbosity=0, interactive=False)
        remember_all()
        name_tasks()
        make_groups()
