"""Reports: each attempt has one final one, taken once however often it is sent.

A report decides on its job while its attempt holds it; also after its lease has expired, as long as nobody else was
given the job. A later one is kept as evidence, and changes nothing. Whatever the answer, the report is on disk before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import F

from pilotext import model
from pilotext.decode import from_json
from pilotext.errors import FieldError
from pilotext.messages import ReportAnswer
from pilotext.model import Report
from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance_one, record
from pilotext.server.production.consequence import follow_failure
from pilotext.server.production.expanded import expand
from pilotext.server.production.leases import attempt_of
from pilotext.server.production.models import Attempt, Evidence, Output, Signature
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, JOB
from pilotext.server.rows import ById, insert, insert_rows

_COUNTERS_OF = {
    "mdst": ("events_saved", "events_written", "mdst_entries"),
    "hist": ("hist_entries",),
    "dump": ("dump_events",),
}
"""Which counters of a report tell the events in its outputs, by their kind; the first that is there."""


_EVIDENCE = ById(Evidence.objects.all)


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
    kept = _EVIDENCE.get(attempt.pk)
    if kept is not None:
        if from_json(kept.report, Report) != report:
            raise RefusalError("conflict", "this attempt has another final report already.")
        return ReportAnswer(not kept.late, "it was taken before" if not kept.late else "it was kept before")
    holds = attempt.state in ACTIVE_ATTEMPT
    in_time = holds or (attempt.state == "lost" and attempt.job.state == "ready")
    insert(Evidence, attempt_id=attempt.pk, report=text, late=not in_time)
    if not in_time:
        return _too_late(attempt, report)
    if attempt.job.state == "cancelled":
        _end(attempt, "cancelled", report, "its job was cancelled")
        return ReportAnswer(False, "the job was cancelled")
    good = report.verdict.verdict == "success"
    if attempt.stop and not (good and attempt.job.state == "ready"):
        # The job was sent again since; what this one did until it was stopped says nothing about it.
        _failed(attempt, report, state="cancelled")
        return ReportAnswer(False, "it was told to stop")
    if good:
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
    signature = _signature(attempt, report)
    advance_one(
        ATTEMPT,
        attempt,
        state,
        Reason("intake", why),
        ended=now(),
        phase=report.phase,
        node=attempt.node or report.host,  # as it is called where it asks for jobs: a pilot may have other names for it
        verdict=verdict.verdict,
        code=verdict.code or "",
        code_number=verdict.number,
        cause=verdict.cause or "",
        action=verdict.action or "",
        rule=verdict.rule or "",
        diag=verdict.diag,
        exit_status=report.exit_status,
        signature_id=signature.pk if signature else None,
    )


def _succeeded(attempt: Attempt, report: Report) -> None:
    expected = {output.name: output for output in expand(attempt.task, attempt.job, attempt.number).outputs}
    if missing := [name for name in expected if name not in {file.name for file in report.outputs}]:
        why = f"a success without {', '.join(missing)}"
        _end(attempt, "failed", report, why)
        follow_failure(attempt, ("incomplete", "retry"), why)
        return
    _end(attempt, "finished", report, "success")
    if attempt.number > 1:
        Output.objects.filter(job_id=attempt.job_id, state="valid").update(state="superseded", group=None)
    insert_rows(Output, list(outputs_of(attempt, report, expected)))
    counters = report.verdict.counters
    done = [int(counters[name]) for name in ("events_processed", "events_skipped") if name in counters]
    advance_one(
        JOB,
        attempt.job,
        "finished",
        Reason("intake", f"attempt {attempt.number} succeeded"),
        events_done=sum(done) if done else None,
        code="",
        cause="",
        diag="",
    )


def outputs_of(attempt: Attempt, report: Report, expected: dict[str, model.Output]) -> Iterator[dict[str, Any]]:
    """Rows for those files of a report that the job was expected to publish."""
    counters = report.verdict.counters
    replaced = {finding.fields.get("file") for finding in report.findings if finding.name == "output-replaced"}
    for file in report.outputs:
        output = expected.get(file.name)
        if output is None:
            continue
        counted = (int(counters[name]) for name in _COUNTERS_OF.get(output.kind, ()) if name in counters)
        yield {
            "job_id": attempt.job_id,
            "attempt_id": attempt.pk,
            "kind": output.kind,
            "name": output.published_name,
            "url": file.url or "",
            "size": file.size,
            "adler32": file.adler32,
            "events": next(counted, None),
            "placeholder": file.name in replaced,
        }


def _failed(attempt: Attempt, report: Report, *, state: str = "failed") -> None:
    verdict = report.verdict
    _end(attempt, state, report, verdict.diag or "failed without a verdict")
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
