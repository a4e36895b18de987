"""Rows read and written by prepared statements are those that Django's own queries give, on both databases."""

from __future__ import annotations

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection, transaction  # noqa: E402  needs boot
from django.db.models.functions import Upper  # noqa: E402
from django.forms.models import model_to_dict  # noqa: E402

from pilotext.server.production.models import Agent, Attempt, AttemptReport, Job, Task  # noqa: E402
from pilotext.server.rows import AnnotatedById, ById, change, insert  # noqa: E402
from tests.server.support import leased, raw, report_of, send, site, submit  # noqa: E402
from tests.support.jobs import CHECKOUT  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

ALONG = ("job", "task", "task__experiment", "site")


def test_a_row_comes_with_the_rows_that_it_refers_to() -> None:
    submit()
    given = leased()
    by_django = Attempt.objects.select_related("job", "task__experiment", "site").get(pk=given.attempt)
    found = ById(Attempt, *ALONG, without=("task__document",)).get(given.attempt)
    assert found is not None
    for mine, other in (
        (found, by_django),
        (found.job, by_django.job),
        (found.site, by_django.site),
        (found.task.experiment, by_django.task.experiment),
    ):
        assert (type(mine), model_to_dict(mine)) == (type(other), model_to_dict(other))
    assert (found.task.get_deferred_fields(), found.task.parameters) == ({"document"}, by_django.task.parameters)
    with connection.execute_wrapper(_refuse):
        assert found.task.experiment.name == "COMPASS"
    assert found.task.document == by_django.task.document, "it is read when it is asked for"


def _refuse(*_: object) -> None:
    raise AssertionError("everything is there already")


def test_kept_reports_are_read_as_they_were_written() -> None:
    submit()
    given = leased()
    send(given, report_of(given))
    found = ById(AttemptReport).get(given.attempt)
    assert found is not None
    assert model_to_dict(found) == model_to_dict(AttemptReport.objects.get(pk=given.attempt))


def test_a_row_that_is_not_there_is_none() -> None:
    assert ById(Job, "task").get(1) is None


def test_a_row_comes_with_what_it_is_annotated_with() -> None:
    submit()
    submit([raw(2, 1)], name="second")
    rows = AnnotatedById(Task, lambda pk: Task.objects.filter(pk=pk).annotate(called=Upper("name")))
    for task in Task.objects.all():
        found = rows.get(task.pk)
        assert found is not None
        assert (found.pk, found.name, vars(found)["called"]) == (task.pk, task.name, task.name.upper())
    assert rows.get(4711) is None


def test_a_locked_row_is_the_same_row() -> None:
    submit()
    given = leased()
    locked = ById(Attempt, *ALONG, lock=("", "job"))
    with transaction.atomic():
        found = locked.get(given.attempt)
        assert found is not None
        assert found.job.state == "sent"
    assert locked.get(given.attempt + 1) is None


def test_an_inserted_row_has_djangos_defaults_and_changes_only_from_what_it_was() -> None:
    submit()
    pk = insert(Agent, name="a1", site_id=site().pk, slots=3)
    found = Agent.objects.get(pk=pk)
    by_django = Agent.objects.create(name="a2", site=site(), slots=3)
    same = {"id", "name", "registered", "seen"}
    assert {k: v for k, v in model_to_dict(found).items() if k not in same} == {
        k: v for k, v in model_to_dict(by_django).items() if k not in same
    }
    assert change(Agent, pk, {"state": "active"}, state="gone")
    assert not change(Agent, pk, {"state": "active"}, state="draining")
    assert Agent.objects.get(pk=pk).state == "gone"


def test_nothing_of_djangos_private_compiler_is_used() -> None:
    texts = {path: path.read_text() for path in (CHECKOUT / "pilotext" / "server").rglob("*.py")}
    private = ("klass_info", "get_related_populators", "get_compiler", "get_converters")
    assert not [(path, name) for path, text in texts.items() for name in private if name in text]
