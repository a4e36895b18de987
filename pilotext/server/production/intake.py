"""Reports: each attempt has one final one, taken once however often it is sent.

A report decides on its job while its attempt holds it; also after its lease has expired, as long as nobody else was
given the job. A later one is kept as evidence, and changes nothing. Whatever the answer, the report is on disk before.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import F

from pilotext import model
from pilotext.decode import from_json
from pilotext.errors import FieldError
from pilotext.messages import ReportAnswer
from pilotext.model import Report
from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance, record
from pilotext.server.production.consequence import follow_failure
from pilotext.server.production.expanded import expand
from pilotext.server.production.leases import attempt_of
from pilotext.server.production.models import Attempt, Evidence, Job, Output, Signature
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, JOB

_COUNTERS_OF = {
    "mdst": ("events_saved", "events_written", "mdst_entries"),
    "hist": ("hist_entries",),
    "dump": ("dump_events",),
}
"""Which counters of a report tell the events in its outputs, by their kind; the first that is there."""


def take_report(attempt_id: int, token: str, body: bytes) -> ReportAnswer:
    """Take the final report of an attempt. Raises RefusalError for one that is not its own or not final."""
    try:
        report = from_json(body, Report)
    except FieldError as error:
        raise RefusalError("invalid", str(error)) from None
    return transact(lambda: _take(attempt_id, token, body.decode(), report))


def _take(attempt_id: int, token: str, text: str, report: Report) -> ReportAnswer:
    attempt = attempt_of(attempt_id, token, lock=True)
    _check(attempt, report)
    kept = Evidence.objects.filter(pk=attempt.pk).first()
    if kept is not None:
        if from_json(kept.report, Report) != report:
            raise RefusalError("conflict", "this attempt has another final report already.")
        return ReportAnswer(not kept.late, "it was taken before" if not kept.late else "it was kept before")
    holds = attempt.state in ACTIVE_ATTEMPT
    in_time = holds or (attempt.state == "lost" and attempt.job.state == "ready")
    Evidence.objects.create(attempt=attempt, report=text, late=not in_time)
    if not in_time:
        return _too_late(attempt, report)
    if attempt.job.state == "cancelled":
        _end(attempt, "cancelled", report, "its job was cancelled")
        return ReportAnswer(False, "the job was cancelled")
    if report.verdict.verdict == "success":
        _succeeded(attempt, report)
    else:
        _failed(attempt, report)
    return ReportAnswer(True)


def _check(attempt: Attempt, report: Report) -> None:
    mine = (attempt.task.name, attempt.job_id, attempt.number)
    if (report.job.task, report.job.job, report.job.attempt) != mine:
        raise RefusalError("forbidden", "this report is of another attempt.")
    if report.state == "running":
        raise RefusalError("invalid", "this report is not final.")


def _too_late(attempt: Attempt, report: Report) -> ReportAnswer:
    said, now_is = report.verdict.verdict, attempt.job.state
    why = f"attempt {attempt.number} reports {said} while the job is {now_is}: kept, not acted on"
    record(ATTEMPT.name, attempt.state, Reason("intake", why), [(attempt.pk, attempt.state, attempt.task_id)])
    return ReportAnswer(False, why)


def _end(attempt: Attempt, state: str, report: Report, why: str) -> None:
    verdict = report.verdict
    advance(
        ATTEMPT,
        Attempt.objects.filter(pk=attempt.pk),
        state,
        Reason("intake", why),
        ended=now(),
        phase=report.phase,
        node=report.host or attempt.node,
        verdict=verdict.verdict,
        code=verdict.code or "",
        code_number=verdict.number,
        cause=verdict.cause or "",
        action=verdict.action or "",
        rule=verdict.rule or "",
        diag=verdict.diag,
        exit_status=report.exit_status,
        signature=_signature(attempt, report),
    )
    attempt.node = report.host or attempt.node


def _succeeded(attempt: Attempt, report: Report) -> None:
    expected = {output.name: output for output in expand(attempt.task, attempt.job, attempt.number).outputs}
    if missing := [name for name in expected if name not in {file.name for file in report.outputs}]:
        why = f"a success without {', '.join(missing)}"
        _end(attempt, "failed", report, why)
        follow_failure(attempt, ("incomplete", "retry"), why)
        return
    _end(attempt, "finished", report, "success")
    Output.objects.filter(job_id=attempt.job_id, state="valid").update(state="superseded", group=None)
    Output.objects.bulk_create(outputs_of(attempt, report, expected))
    counters = report.verdict.counters
    done = [int(counters[name]) for name in ("events_processed", "events_skipped") if name in counters]
    advance(
        JOB,
        Job.objects.filter(pk=attempt.job_id),
        "finished",
        Reason("intake", f"attempt {attempt.number} succeeded"),
        events_done=sum(done) if done else None,
        code="",
        cause="",
        diag="",
    )


def outputs_of(attempt: Attempt, report: Report, expected: dict[str, model.Output]) -> Iterator[Output]:
    """Rows for those files of a report that the job was expected to publish."""
    counters = report.verdict.counters
    replaced = {finding.fields.get("file") for finding in report.findings if finding.name == "output-replaced"}
    for file in report.outputs:
        output = expected.get(file.name)
        if output is None:
            continue
        yield Output(
            job_id=attempt.job_id,
            attempt=attempt,
            kind=output.kind,
            name=output.published_name,
            url=file.url or "",
            size=file.size,
            adler32=file.adler32,
            events=next((int(counters[name]) for name in _COUNTERS_OF.get(output.kind, ()) if name in counters), None),
            placeholder=file.name in replaced,
        )


def _failed(attempt: Attempt, report: Report) -> None:
    verdict = report.verdict
    _end(attempt, "failed", report, verdict.diag or "failed without a verdict")
    follow_failure(attempt, (verdict.cause or "", verdict.action or ""), verdict.diag, code=verdict.code or "")


def _signature(attempt: Attempt, report: Report) -> Signature | None:
    text = report.verdict.signature
    if text is None:
        return None
    row, _ = Signature.objects.get_or_create(
        experiment_id=attempt.task.experiment_id, signature=text, defaults={"diag": report.verdict.diag}
    )
    Signature.objects.filter(pk=row.pk).update(count=F("count") + 1, last=now())
    return row
