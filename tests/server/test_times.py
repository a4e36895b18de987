"""Points in time: datetimes within the server, seconds outside, and days as each database names them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F

from pilotext.server.production.models import AuditEntry, CycleStep
from pilotext.server.rows import ById, change, insert
from pilotext.server.times import (
    EPOCH,
    FOREVER,
    Day,
    earlier,
    from_seconds,
    later,
    record_fields,
    to_seconds,
)

POINTS = [
    EPOCH,
    datetime(2016, 8, 1, 12, tzinfo=UTC),
    datetime(2016, 8, 1, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # an hour that summer time leaves out in Geneva
    FOREVER,
]


@pytest.mark.parametrize("at", POINTS)
def test_seconds_and_back(at: datetime) -> None:
    assert abs(from_seconds(to_seconds(at)) - at) <= timedelta(microseconds=1)
    assert from_seconds(to_seconds(at)).tzinfo is UTC


def test_no_time_is_none() -> None:
    assert to_seconds(None) is None


@pytest.mark.parametrize(("seconds", "at"), [(-1.0, EPOCH), (1e30, FOREVER), (float("inf"), FOREVER)])
def test_seconds_beyond_what_a_date_can_be_are_its_ends(seconds: float, at: datetime) -> None:
    assert from_seconds(seconds) == at


def test_later_and_earlier_end_where_dates_do() -> None:
    at = POINTS[1]
    assert later(at, 90.5) - at == timedelta(seconds=90.5)
    assert at - earlier(at, 90.5) == timedelta(seconds=90.5)
    assert later(at, 1e12) == FOREVER
    assert earlier(at, 1e12) == EPOCH


def test_a_record_has_seconds_and_everything_else_as_it_is() -> None:
    row = CycleStep(name="merging", at=POINTS[1], failing_since=None, error="no space")
    assert record_fields(row, ("name", "at", "failing_since", "error")) == {
        "name": "merging",
        "at": 1470052800.0,
        "failing_since": None,
        "error": "no space",
    }


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("at", POINTS)
def test_a_point_in_time_is_the_same_by_each_way_to_the_database(at: datetime) -> None:
    """Rows that are written and read without Django's own preparation are those that it writes and reads."""
    row = CycleStep.objects.create(name="by Django", at=at, failing_since=at)
    pk = insert(CycleStep, name="by rows", at=at, failing_since=at)
    changed = insert(CycleStep, name="changed", at=EPOCH)
    assert change(CycleStep, changed, {"at": EPOCH}, at=at, failing_since=at)
    read = ById(CycleStep)
    for one in (row.pk, pk, changed):
        mine, django = read.get(one), CycleStep.objects.get(pk=one)
        assert mine is not None
        assert (mine.at, mine.failing_since) == (django.at, django.failing_since) == (at, at)
        assert mine.at.tzinfo is not None
    assert set(CycleStep.objects.filter(at=at).values_list("pk", flat=True)) == {row.pk, pk, changed}
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(DISTINCT CAST(at AS text)) FROM production_cyclestep")
        assert cursor.fetchone() == (1,)


@pytest.mark.usefixtures("database")
def test_no_time_is_the_same_by_each_way_to_the_database() -> None:
    pk = insert(CycleStep, name="by rows", at=EPOCH, failing_since=None)
    assert CycleStep.objects.get(pk=pk).failing_since is None
    read = ById(CycleStep).get(pk)
    assert read is not None
    assert read.failing_since is None


@pytest.mark.usefixtures("database")
def test_points_in_time_are_in_their_order_with_and_without_fractions_of_a_second() -> None:
    second = datetime(2016, 8, 1, 12, tzinfo=UTC)
    for at in (later(second, 1), second, later(second, 0.5), earlier(second, 0.000_001)):
        AuditEntry.objects.create(at=at, who="maria", subject="test", subject_id=1)
    rows = AuditEntry.objects.filter(subject="test").order_by("at")
    assert [(row.at - second).total_seconds() for row in rows] == [-0.000_001, 0.0, 0.5, 1.0]
    assert rows.filter(at__gte=second, at__lt=later(second, 1)).count() == 2


@pytest.mark.usefixtures("database")
def test_a_day_is_that_of_utc_whatever_the_zone_of_the_session() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'Pacific/Kiritimati'")
    for at in POINTS:
        AuditEntry.objects.create(at=at, who="maria", subject="test", subject_id=1)
    days = AuditEntry.objects.filter(subject="test").order_by("pk").annotate(day=Day(F("at")))
    assert list(days.values_list("day", flat=True)) == [at.date().isoformat() for at in POINTS]
