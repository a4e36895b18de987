"""Reports: each attempt has one final one, taken once however often it is sent.

A report decides on its job while its attempt holds it; also after its lease has expired, as long as nobody else was
given the job. A later one is kept as evidence, and changes nothing. Whatever the answer, the report is on disk before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import F
from msgspec.structs import replace

from pilotext import model
from pilotext.decode import from_json
from pilotext.errors import FieldError, UsageError
from pilotext.messages import ReportAnswer
from pilotext.model import Report
from pilotext.redact import shortened
from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance_one, record
from pilotext.server.production.consequence import follow_failure
from pilotext.server.production.expanded import expand
from pilotext.server.production.leases import attempt_of
from pilotext.server.production.legible import read_report
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

LONGEST_DIAG = 1000
LONGEST_NODE = 255
LONGEST_WORD = 100
"""Characters; the whole texts stay in the kept report."""

MOST_EVENTS = 2**31 - 1

_EVIDENCE = ById(Evidence.objects.all)


def take_report(attempt_id: int, token: str, body: bytes) -> ReportAnswer:
    """Take the final report of an attempt. Raises RefusalError for one that is not its own or not final."""
    try:
        report, text = read_report(body)
    except FieldError as error:
        raise RefusalError("invalid", str(error)) from None
    return transact(lambda: _take(attempt_id, token, text, report))


def _take(attempt_id: int, token: str, text: str, report: Report) -> ReportAnswer:
    attempt = attempt_of(attempt_id, token, lock=True)
    _check(attempt, report)
    kept = _EVIDENCE.get(attempt.pk)
    if kept is not None:
        if from_json(kept.report, Report) != report:
            raise RefusalError("conflict", "this attempt has another final report already.")
        return ReportAnswer(not kept.late, "it was taken before" if not kept.late else "it was kept before")
    holds = attempt.state in ACTIVE_ATTEMPT
    still_last = attempt.number == attempt.job.attempts
    in_time = holds or (attempt.state == "lost" and attempt.job.state == "ready" and still_last)
    insert(Evidence, attempt_id=attempt.pk, report=text, late=not in_time)
    if not in_time:
        return _too_late(attempt, report)
    report = _for_tables(report)
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
    verdict, sizes = report.verdict, [file.size for file in report.outputs]
    if not (_fits(verdict.number) and _fits(report.exit_status) and all(0 <= size < 2**63 for size in sizes)):
        raise RefusalError("invalid", "a number in this report is out of all bounds.")


def _fits(number: int) -> bool:
    return abs(number) < 2**31


def _for_tables(report: Report) -> Report:
    """The same with the words that go into tables, some of them into an index, no longer than ours are."""
    verdict = report.verdict
    return replace(
        report,
        host=shortened(report.host, LONGEST_NODE),
        verdict=replace(
            verdict,
            code=verdict.code and shortened(verdict.code, LONGEST_WORD),
            rule=verdict.rule and shortened(verdict.rule, LONGEST_WORD),
            signature=verdict.signature and shortened(verdict.signature, LONGEST_WORD),
            diag=shortened(verdict.diag, LONGEST_DIAG),
        ),
    )


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
    try:
        expected = {output.name: output for output in expand(attempt.task, attempt.job, attempt.number).outputs}
    except UsageError as error:
        _end(attempt, "finished", report, "success")
        why = f"attempt {attempt.number} succeeded; its profile cannot say what it should have published: {error}"
        advance_one(JOB, attempt.job, "manual", Reason("intake", why), diag=shortened(why, LONGEST_DIAG))
        return
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
    done = [count for name in ("events_processed", "events_skipped") if (count := _count(counters, name)) is not None]
    skipped = _count(counters, "events_skipped")
    advance_one(
        JOB,
        attempt.job,
        "finished",
        Reason("intake", f"attempt {attempt.number} succeeded"),
        events_done=min(sum(done), MOST_EVENTS) if done else None,
        events_skipped=min(skipped or 0, MOST_EVENTS) if done else None,
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
        counted = (_count(counters, name) for name in _COUNTERS_OF.get(output.kind, ()) if name in counters)
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


def _count(counters: Mapping[str, float], name: str) -> int | None:
    """A number of events, if the report tells one: a log may say anything."""
    value = counters.get(name)
    return int(value) if value is not None and 0 <= value <= MOST_EVENTS else None


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
