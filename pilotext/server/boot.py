"""Makes Django ready in this process; nothing of the server may be imported before."""

from __future__ import annotations

import os

import django


def boot(database: str | None = None) -> None:
    """Set up Django, with this database if one is given, else that of the environment."""
    if database is not None:
        os.environ["DATABASE_URL"] = database
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pilotext.server.settings")
    django.setup()


def database_name() -> str:
    """What to call the database in front of people: without user and password."""
    from django.db import connection  # noqa: PLC0415  needs Django to be set up

    known = connection.settings_dict
    where = f" at {known['HOST']}" if known.get("HOST") else ""
    return f"{connection.display_name} {known['NAME']}{where}"


def migrate() -> None:
    """Bring the database's tables to this version, and what it knows of the experiments to that of their profiles.

    Tasks of a version that knew no owners of names get theirs.
    """
    from django.core.management import call_command  # noqa: PLC0415  needs Django to be set up

    from pilotext.server.production.people import make_groups  # noqa: PLC0415
    from pilotext.server.production.profiles import remember_all  # noqa: PLC0415
    from pilotext.server.production.unnamed import name_tasks  # noqa: PLC0415

    call_command("migrate", verbosity=0, interactive=False)
    remember_all()
    name_tasks()
    make_groups()
