"""Reports: each attempt has one final one, taken once however often it is sent.

A report decides on its job while its attempt holds it; also after its lease has expired, as long as nobody else was
given the job. A later one is kept as evidence, and changes nothing. Whatever the answer, the report is on disk before.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from pilotext.api.schemas.attempts import ReportAnswer
from pilotext.errors import FieldError
from pilotext.model.report import Report
from pilotext.redaction import shortened
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.dispatch.leases import attempt_of
from pilotext.server.production.models import Attempt, AttemptReport
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.sanitize import MAX_KEPT_BYTES, fitted, read_report
from pilotext.server.production.reports.success import MAX_DIAG, claim_success, end_attempt
from pilotext.server.production.retry import TO_BE_GIVEN_OUT, follow_failure
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, AttemptState, JobState
from pilotext.server.production.transitions import Reason, record
from pilotext.server.rows import ById, insert

MAX_NODE_CHARACTERS = 255
MAX_WORD_CHARACTERS = 100
"""Characters; the whole texts stay in the kept report."""

_EVIDENCE = ById(AttemptReport)


def take_report(attempt_id: int, token: str, body: bytes) -> ReportAnswer:
    """Take the final report of an attempt. Raises RefusalError for one that is not its own or not final."""
    attempt_of(attempt_id, token)  # before anything of it is decoded
    try:
        report, text = read_report(body)
    except FieldError as error:
        raise RefusalError("invalid", str(error)) from None
    if len(body) > MAX_KEPT_BYTES:
        report = fitted(report)
        text = msgspec.json.encode(report).decode()
    return transact(lambda: _take(attempt_id, token, text, report))


def _take(attempt_id: int, token: str, text: str, report: Report) -> ReportAnswer:
    attempt = attempt_of(attempt_id, token, lock=True)
    _check(attempt, report)
    kept = _EVIDENCE.get(attempt.pk)
    if kept is not None:
        before = from_json(kept.report, Report)
        if before != report and not _brings_log(before, report):
            raise RefusalError("conflict", "this attempt has another final report already.")
        if before.log != report.log:
            added = msgspec.json.encode(replace(before, log=report.log, kept=None)).decode()
            AttemptReport.objects.filter(pk=attempt.pk).update(report=added)
            return ReportAnswer(not kept.late, "the address of its log archive was added")
        return ReportAnswer(not kept.late, "it was taken before" if not kept.late else "it was kept before")
    good = report.verdict.verdict == "success"
    in_time = attempt.state in ACTIVE_ATTEMPT or _still_decides(attempt, good=good)
    insert(AttemptReport, attempt_id=attempt.pk, report=text, late=not in_time)
    if not in_time:
        return _too_late(attempt, report)
    report = _for_tables(report)
    if attempt.job.state == JobState.CANCELLED:
        end_attempt(attempt, AttemptState.CANCELLED, report, "its job was cancelled")
        return ReportAnswer(False, "the job was cancelled")
    if attempt.stop and not (good and attempt.job.state in TO_BE_GIVEN_OUT):
        # The job was sent again since; what this one did until it was stopped says nothing about it.
        unused = f"its success is not used: its job is {attempt.job.state}, and it was asked to stop: {attempt.stop}"
        _failed(attempt, report, state=AttemptState.CANCELLED, why=unused if good else "")
        return ReportAnswer(False, "it was asked to stop")
    if good:
        claim_success(attempt, report)
    else:
        _failed(attempt, report)
    return ReportAnswer(True)


def _still_decides(attempt: Attempt, *, good: bool) -> bool:
    """Whether the report of a lost attempt still counts: nobody else was given its job, and nobody decided on it.

    A success counts also for a job whose file is on its way from tape, or which only waits for a person because its
    attempts were lost.
    """
    job = attempt.job
    if attempt.state != AttemptState.LOST or attempt.number != job.attempts:
        return False
    if job.state == JobState.MANUAL:
        return good and job.since < attempt.number  # later, it was sent again by a person
    return job.state in TO_BE_GIVEN_OUT if good else job.state == JobState.READY


def _brings_log(before: Report, after: Report) -> bool:
    """Whether a report agrees with the first one, and adds the address of a log archive that was kept until then."""

    def said(report: Report) -> object:
        return report.state, report.exit_status, report.verdict.verdict, report.verdict.code, report.outputs

    return after.log is not None and before.log in (None, after.log) and said(before) == said(after)


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
        host=shortened(report.host, MAX_NODE_CHARACTERS),
        verdict=replace(
            verdict,
            code=verdict.code and shortened(verdict.code, MAX_WORD_CHARACTERS),
            rule=verdict.rule and shortened(verdict.rule, MAX_WORD_CHARACTERS),
            signature=verdict.signature and shortened(verdict.signature, MAX_WORD_CHARACTERS),
            diag=shortened(verdict.diag, MAX_DIAG),
        ),
    )


def _too_late(attempt: Attempt, report: Report) -> ReportAnswer:
    said, now_is = report.verdict.verdict, attempt.job.state
    why = f"attempt {attempt.number} reports {said} while the job is {now_is}: kept, not acted on"
    record(
        ATTEMPT.name, attempt.state, Reason("intake", why, "attempt"), [(attempt.pk, attempt.state, attempt.task_id)]
    )
    return ReportAnswer(False, why)


def _failed(attempt: Attempt, report: Report, *, state: str = AttemptState.FAILED, why: str = "") -> None:
    verdict = report.verdict
    end_attempt(attempt, state, report, why or verdict.diag or "failed without a verdict")
    follow_failure(attempt, (verdict.cause or "", verdict.action or ""), verdict.diag, code=verdict.code or "")
