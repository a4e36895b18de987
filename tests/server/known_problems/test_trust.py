"""What the server says of a production is what stands in its tables, by itself and with its history."""

from __future__ import annotations

from collections import Counter

import pytest
from django.core.handlers.wsgi import WSGIHandler as Application
from msgspec.structs import replace

from pilotext.model.verdict import ExitStatus
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.models import Attempt, AuditEntry, Job, Task
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.statistics.tasks import describe_task
from pilotext.storage.memory import MemoryStorage
from tests.server.calls import request
from tests.server.merged import cycle, do_all, storage, submit_runs
from tests.server.support import WHY, fail, leased, report_of, send, submit, the_job

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


def test_a_task_is_done_by_itself_and_its_numbers_are_counted_then_too(storage: MemoryStorage) -> None:
    """Known problem 27 of the legacy system: of a finished task the numbers were made up, and `done` was by eye."""
    submit_runs({1: 3, 2: 1})
    fail(leased(), "input-corrupt", "manual-check")
    do_all(storage)
    transact(lambda: move_job(Job.objects.get(state="manual").pk, "resend", WHY))
    for _ in range(3):
        do_all(storage)
        cycle(2)
    row = describe_task(Task.objects.get().pk).task
    assert row.state == "done"
    assert row.jobs == Counter(Job.objects.filter(product="").values_list("state", flat=True)) == {"finished": 4}
    assert row.merges == Counter(Job.objects.exclude(product="").values_list("state", flat=True)) == {"finished": 2}
    ended = AuditEntry.objects.get(subject="task", after="done")
    assert (ended.who, ended.before) == ("cycle", "running")
    Job.objects.filter(run=2, product="").update(state="failed")
    transact(lambda: move_job(Job.objects.filter(run=1, product="")[0].pk, "resend", WHY))
    again = describe_task(row.task).task
    assert (again.state, again.jobs) == ("running", {"finished": 2, "ready": 1, "failed": 1})


def test_who_sent_a_job_again_and_why_is_kept_for_good(storage: MemoryStorage) -> None:
    """Known problem 27 of the legacy system: nobody knew who had sent what again, and logs were kept for a week."""
    submit()
    fail(leased(), "input-corrupt", "manual-check")
    transact(lambda: move_job(the_job().pk, "resend", WHY))
    cycle(3)
    page = describe_job(the_job().pk)
    (again,) = [event for event in page.events if event.before == "manual"]
    assert (again.who, again.after, again.why) == ("maria", "ready", WHY.why)
    assert [attempt.cause for attempt in page.attempts] == ["input-corrupt"]


@pytest.mark.parametrize("status", [0, 255])
def test_a_good_exit_status_is_no_success(status: int) -> None:
    """Known problem 1 of the legacy system: the status was that of the last `rm`, and CORAL's is 0 in any case."""
    submit()
    given = leased()
    report = report_of(given, cause="unhandled-exception", action="retry")
    outputs = report_of(given).outputs
    send(given, replace(report, exit_status=status, payload=ExitStatus(code=status), outputs=outputs))
    assert (Attempt.objects.get().state, the_job().state) == ("failed", "ready")
    assert Attempt.objects.get().cause == "unhandled-exception"


def test_nothing_of_a_kept_attempt_can_be_deleted_through_the_api() -> None:
    """Known problem 18 of the legacy system: rows of failed jobs were deleted by a statement of its own."""
    submit()
    for path in ("/api/v1/jobs/1", "/api/v1/tasks/1", "/api/v1/events"):
        assert request(Application(), "DELETE", path).status == 405
