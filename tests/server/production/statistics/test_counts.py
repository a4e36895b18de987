from __future__ import annotations

import pytest
from django.test.utils import CaptureQueriesContext

from pilotext.server.production.models import Job, Task
from pilotext.server.production.statistics.tasks import list_tasks
from tests.server.support import leased, raw, submit, succeed

from django.db import connection  # isort: skip

pytestmark = pytest.mark.usefixtures("database")


def counts() -> dict[str, dict[str, int]]:
    return {row.name: row.jobs for row in list_tasks()}


def test_counts_follow_every_move() -> None:
    submit([raw(1, 1), raw(1, 2)])
    assert counts() == {"t1": {"ready": 2}}
    given = leased()
    assert counts() == {"t1": {"ready": 1, "sent": 1}}
    succeed(given)
    assert counts() == {"t1": {"ready": 1, "finished": 1}}
    submit([raw(1, 3)], name="t2")
    assert counts() == {"t1": {"ready": 1, "finished": 1}, "t2": {"ready": 1}}


def test_merges_are_counted_apart_as_soon_as_they_are_there() -> None:
    submit()
    assert [row.merges for row in list_tasks()] == [{}]
    Job.objects.create(task=Task.objects.get(), type="merging mdst", product="mdst", file="merged")
    assert [(row.jobs, row.merges) for row in list_tasks()] == [({"ready": 1}, {"ready": 1})]


def test_only_tasks_where_something_moved_are_counted_anew() -> None:
    submit([raw(1, 1), raw(1, 2)])
    submit([raw(1, 3)], name="t2", priority=-1)
    counts()
    with CaptureQueriesContext(connection) as still:
        counts()
    leased()
    with CaptureQueriesContext(connection) as moved:
        assert counts()["t1"] == {"ready": 1, "sent": 1}
    assert len(moved) == len(still) + 1
