"""Tasks, leases and reports for tests of the server, complete but for what a test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import QuerySet

from pilotext.api.schemas.attempts import ReportAnswer
from pilotext.api.schemas.tasks import Submitted
from pilotext.model.job import JobIdentity
from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Finding, Verdict
from pilotext.server.production import models
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher, Lease
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.reports.accept import take_report
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.store import store
from pilotext.server.production.transitions import Reason

PARAMETERS = {"production": "prod", "path": "generalprod/", "soft": "soft", "year": 2016}
SITE = "CERN_COMPASS_PROD"
WHY = Reason("maria", "I have looked at it", "person")


def raw(run: int, chunk: int) -> str:
    return f"/castor/cern.ch/compass/data/2016/raw/W14/cdr{chunk}-{run}.raw"


def task_document(files: Sequence[str] = (raw(1, 11),), **fields: Any) -> dict[str, Any]:
    """A task as its document: a mass production of these files, all on disk, without merges.

    Tasks of other names than `t1` are productions of their own, which publish under other names.
    """
    name = fields.get("name", "t1")
    return {
        "experiment": "COMPASS",
        "name": "t1",
        "type": "mass production",
        "files": {"these": list(files)},
        "parameters": PARAMETERS if name == "t1" else {**PARAMETERS, "production": name, "soft": f"{name}_soft"},
        "staging": False,
        "merges": [],
        **fields,
    }


def submit(files: Sequence[str] = (raw(1, 11),), **fields: Any) -> Submitted:
    whole = from_plain({"task": task_document(files, **fields)})
    experiment = profile_of(whole.task.experiment)
    whole, plan = plan_task(experiment, whole, lambda _: ())
    return store(experiment, whole.task, plan, "tester")


def site(name: str = SITE) -> models.Site:
    return models.Site.objects.get(name=name)


def lease(node: str = "wn1", *, dispatcher: Dispatcher | None = None, **options: Any) -> Lease | None:
    """The next job for a node, looked for anew."""
    return (dispatcher or Dispatcher()).give(Asker(site(), node), **options)


def leased(node: str = "wn1", **options: Any) -> Lease:
    found = lease(node, **options)
    assert found is not None
    return found


def report_of(given: Lease, *, cause: str | None = None, action: str | None = None, host: str = "wn1") -> Report:
    """A report on a leased job: success, or failure of this cause and action."""
    verdict = Verdict(verdict="success", counters={"events_processed": 90, "events_skipped": 10, "events_written": 50})
    if cause is not None:
        fault = {"cause": cause, "action": action, "code": "COMPASS-1241", "number": 581241, "diag": f"{cause} it was"}
        verdict = msgspec.convert({"verdict": "failure", **fault}, Verdict)
    outputs = tuple(
        Transfer(file.name, f"{file.destinations[0]}{file.published_name}", 1000, "0a0b0c0d", 1.0)
        for file in given.job.outputs
    )
    return Report(
        pilotext="1",
        job=JobIdentity.of(given.job),
        state="done" if cause is None else "failed",
        phase="report" if cause is None else "payload",
        exit_status=0 if cause is None else 66,
        verdict=verdict,
        started=1.0,
        ended=2.0,
        host=host,
        outputs=outputs if cause is None else (),
        findings=(Finding("output-replaced", "empty", "validate", {"file": "testevtdump.raw"}),)
        if cause is None
        else (),
    )


def send(given: Lease, report: Report) -> ReportAnswer:
    return take_report(given.attempt, given.token, msgspec.json.encode(report))


def succeed(given: Lease) -> ReportAnswer:
    return send(given, report_of(given))


def fail(given: Lease, cause: str = "crash", action: str = "retry", **more: Any) -> ReportAnswer:
    return send(given, report_of(given, cause=cause, action=action, **more))


def the_job() -> models.Job:
    return models.Job.objects.get()


def events(subject: str, subject_id: int) -> list[tuple[str, str]]:
    """What the audit trail tells of something: from where to where."""
    rows = models.AuditEntry.objects.filter(subject=subject, subject_id=subject_id).order_by("pk")
    return list(rows.values_list("before", "after"))


def avoid(places: Mapping[str, datetime], jobs: QuerySet[models.Job] | None = None) -> None:
    """Let these jobs, or all, avoid just these places."""
    chosen = models.Job.objects.all() if jobs is None else jobs
    models.AvoidedPlace.objects.filter(job__in=chosen).delete()
    models.AvoidedPlace.objects.bulk_create(
        models.AvoidedPlace(job=job, place=place, until=until) for job in chosen for place, until in places.items()
    )
