"""The database that tests on PostgreSQL share: nothing of one test is there in the next."""

from __future__ import annotations

import pytest

from pilotext.server.boot import boot
from tests.server.reused_database import ReusedDatabase

boot()

from django.db import connection  # noqa: E402  needs boot

from pilotext.server.production.models import Agent, Experiment, Site  # noqa: E402


def ask(statement: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def test_rows_numbers_and_settings_of_a_test_are_gone_in_the_next(reused_database: ReusedDatabase) -> None:
    first = reused_database.take()
    zone, sites = ask("SHOW TIME ZONE"), Site.objects.count()
    Agent.objects.create(name="a", site=Site.objects.earliest("pk"))
    Experiment.objects.update(number=0)
    ask("SET TIME ZONE 'Pacific/Kiritimati'")
    ask("CREATE TEMPORARY TABLE left_behind (n int)")
    ask("SELECT pg_advisory_lock(7)")
    connection.force_debug_cursor = True
    reused_database.give_back()
    assert reused_database.take() == first
    assert (ask("SHOW TIME ZONE"), Site.objects.count(), Agent.objects.count()) == (zone, sites, 0)
    assert not Experiment.objects.filter(number=0).exists()
    assert Agent.objects.create(name="b", site=Site.objects.earliest("pk")).pk == 1
    assert ask("SELECT to_regclass('left_behind')") == (None,)
    assert ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == (0,)
    assert not connection.force_debug_cursor
    reused_database.give_back()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE other (n int)",
        "ALTER TABLE production_job ALTER COLUMN diag SET DEFAULT 'x'",
        "ALTER TABLE production_job ALTER COLUMN diag DROP NOT NULL",
        "CREATE SCHEMA other",
        "CREATE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DELETE FROM auth_group_permissions; DELETE FROM auth_permission",
    ],
)
def test_a_database_whose_tables_a_test_has_changed_is_made_anew(reused_database: ReusedDatabase, change: str) -> None:
    first = reused_database.take()
    ask(change)
    reused_database.give_back()
    assert reused_database.take() != first
    reused_database.give_back()
