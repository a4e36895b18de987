"""The made production of bin/demo: what is in it, and that the same seed makes the same."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot
from pilotext.server.times import earlier, from_seconds

boot()

from django.db.models import Count, F, Max, Q  # noqa: E402  needs boot

from fixtures.demo.production import fill  # noqa: E402
from fixtures.demo.tasks import TASKS  # noqa: E402
from pilotext.model.report import Report  # noqa: E402
from pilotext.serialization.json import from_json  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Attempt,
    AttemptReport,
    AuditEntry,
    Breaker,
    Job,
    MergeGroup,
    Output,
    Product,
    Signature,
    Task,
)
from tests.server.conftest import Maker, use  # noqa: E402

JOBS = 400
AT = 1_800_000_000.0


@pytest.mark.usefixtures("database")
def test_a_made_production_has_everything_in_the_states_that_belong_together() -> None:
    fill(JOBS, seed=58, at=AT)
    assert Task.objects.count() == len(TASKS)
    own = Job.objects.filter(product="")
    assert abs(own.count() - JOBS) < JOBS / 5
    states = dict(own.values_list("state").annotate(Count("pk")))
    assert set(states) >= {"defined", "staging", "ready", "running", "finished", "manual", "cancelled"}
    assert {*Product.objects.values_list("state", flat=True)} >= {"waiting", "kept", "cleaned"}
    assert Breaker.objects.filter(state="open").count() == 1
    assert not own.filter(state="finished", events_done=None).exists()
    assert not Job.objects.exclude(attempts=0).annotate(last=Max("tries__number")).exclude(last=F("attempts")).exists()
    assert not Attempt.objects.filter(~Q(state="running"), ended=None).exists()
    assert Attempt.objects.filter(ended__gt=from_seconds(AT)).count() == 0
    assert set(Attempt.objects.filter(final_report=None).values_list("state", flat=True)) <= {"running", "lost"}
    assert not MergeGroup.objects.filter(inputs=None).exists()
    assert not Output.objects.filter(group__isnull=False, placeholder=True).exists()
    at = list(AuditEntry.objects.filter(task__gt=0).order_by("pk").values_list("at", flat=True))
    assert at == sorted(at)
    assert 0 not in Signature.objects.values_list("count", flat=True)
    told = AuditEntry.objects.filter(subject="breaker").order_by("pk").values_list("subject_id", "after")
    assert dict(told) == dict(Breaker.objects.values_list("pk", "state"))
    later = Job.objects.create(task=Task.objects.all()[0], type="mass production", file="submitted later")
    assert later.pk == Job.objects.count()


@pytest.mark.usefixtures("database")
def test_a_made_production_does_not_contradict_itself() -> None:
    fill(JOBS, seed=58, at=AT)
    now = from_seconds(AT)
    tries = Attempt.objects.filter(job__product="")
    assert not Attempt.objects.filter(leased__lt=F("task__created")).exists()
    assert not Attempt.objects.filter(Q(seen__lt=F("leased")) | Q(ended__lt=F("leased"))).exists()
    assert not tries.exclude(task__state__in=("running", "ready")).filter(ended__gt=F("task__changed")).exists()
    assert not Attempt.objects.filter(state="running", leased__lt=earlier(now, 10 * 3600.0)).exists()
    assert not Job.objects.filter(task__state="ready").exclude(state__in=("defined", "ready")).exists()
    assert not Job.objects.filter(changed__lt=F("created")).exists()
    checked = list(Product.objects.filter(finding__contains="has"))
    assert checked
    for product in checked:
        chunks = Job.objects.chunks(product.task_id, product.run).filter(state="finished")
        processed = sum((job.events_done or 0) - (job.events_skipped or 0) for job in chunks)
        less, whole = map(int, re.findall(r"\d+(?= events)|(?<=have )\d+", product.finding))
        assert less < whole == processed


@pytest.mark.usefixtures("database")
def test_a_made_file_has_the_same_checksum_everywhere() -> None:
    fill(JOBS, seed=58, at=AT)
    inputs = outputs = 0
    for row in AttemptReport.objects.select_related("attempt__job").filter(attempt__state="finished"):
        report, job = from_json(row.report.encode(), Report), row.attempt.job
        if not job.product:
            assert [file.adler32 for file in report.inputs] == [job.adler32]
            inputs += 1
        told = {file.url: file.adler32 for file in report.outputs}
        for output in Output.objects.filter(attempt=row.attempt):
            assert told[output.url] == output.adler32
            outputs += 1
    assert inputs > JOBS / 4
    assert outputs > inputs


@pytest.mark.usefixtures("database")
def test_reports_of_a_made_production_are_those_of_their_attempts() -> None:
    fill(JOBS, seed=58, at=AT)
    rows = AttemptReport.objects.select_related("attempt__task").all()
    assert rows
    for row in rows:
        report = from_json(row.report.encode(), Report)
        assert (report.job.job, report.job.task) == (row.attempt.job_id, row.attempt.task.name)
        assert (report.verdict.code or "") == row.attempt.code
        assert report.exit_status == row.attempt.exit_status


def test_the_same_seed_makes_the_same(sqlite_databases: Maker) -> None:
    made = []
    for seed in (3, 3, 4):
        use(sqlite_databases())
        fill(60, seed=seed, at=AT)
        made.append(list(Job.objects.order_by("pk").values_list("file", "state", "changed", "code", "size")))
    assert made[0] == made[1]
    assert made[0] != made[2]
