"""A reported success: the files that it claims, and what follows when it is believed or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db.models import F

from pilotext.errors import UsageError
from pilotext.model import job as worker_job
from pilotext.model.report import Report
from pilotext.redaction import shortened
from pilotext.server.production.expected_files import expected_files
from pilotext.server.production.models import Attempt, Output, Signature, Task, Verification
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.reports.pilot_verdict import rules_of
from pilotext.server.production.reports.usage import usage_columns
from pilotext.server.production.retry import HELD, TO_BE_GIVEN_OUT, follow_failure
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, JOB, AttemptState, JobState, OutputState
from pilotext.server.production.storage.operations import File, place
from pilotext.server.production.transitions import Reason, advance_one
from pilotext.server.rows import insert, insert_rows
from pilotext.server.times import EPOCH, later, now

MAX_DIAG = 1000
"""Characters; the whole text stays in the kept report."""

MAX_EVENTS = 2**31 - 1

PILOT_WORD_S = 600.0
"""The last word of a PanDA pilot, which tells the wrapper's exit status, is waited for so long after a report.

That of a PanDA server is not: it may stay `holding` for longer.
"""

NOT_PUBLISHED = ("output-not-published", "output-is-another")
"""Rules for attempts whose published files the server did not find as they were reported."""

MAY_SUCCEED = (JobState.SENT, JobState.RUNNING, *TO_BE_GIVEN_OUT, JobState.MANUAL)
"""States of a job in which a success of its last attempt may be taken; of those in `manual`, see `accept.py`."""

_WHO = "reports"


def claim_success(attempt: Attempt, report: Report) -> None:
    """Take a reported success, in a transaction: believed at once only where the server verifies no outputs.

    Otherwise the attempt waits in the state `verifying` for `machines.verification`. A success whose own report
    contradicts it, or that does not name every output of its job, fails at once.
    """
    try:
        expected = _expected(attempt)
    except UsageError as error:
        end_attempt(attempt, AttemptState.FINISHED, report, "success")
        why = f"attempt {attempt.number} succeeded; its profile cannot say what it should have published: {error}"
        advance_one(
            JOB,
            attempt.job,
            (*HELD, JobState.DEFINED, JobState.STAGING),
            JobState.MANUAL,
            Reason("intake", why, "attempt"),
            diag=shortened(why, MAX_DIAG),
        )
        return
    if why := _inconsistent(report, expected):
        end_attempt(attempt, AttemptState.FAILED, report, why)
        follow_failure(attempt, ("incomplete", "retry"), why)
        return
    if not (expected and settings.VERIFY_OUTPUTS):
        end_attempt(attempt, AttemptState.FINISHED, report, "success")
        believe(attempt, report)
        return
    why = f"attempt {attempt.number} reports a success; its published files are compared before it is believed"
    end_attempt(attempt, AttemptState.VERIFYING, report, why)
    advance_one(JOB, attempt.job, MAY_SUCCEED, JobState.VERIFYING, Reason("intake", why, "attempt"))
    waits = attempt.pilot and not attempt.pilot_said and attempt.panda_task is None
    wait_s = PILOT_WORD_S if waits else 0.0
    insert(Verification, attempt_id=attempt.pk, busy_until=later(now(), wait_s) if wait_s else EPOCH)


def believe(attempt: Attempt, report: Report) -> None:
    """Record the outputs of an attempt that has finished, and finish its job; in a transaction."""
    if attempt.number > 1:
        Output.objects.valid().filter(job_id=attempt.job_id).update(state=OutputState.SUPERSEDED, group=None)
    insert_rows(Output, list(outputs_of(attempt, report, _expected(attempt), attempt.task)))
    counters = report.verdict.counters
    done = [count for name in ("events_processed", "events_skipped") if (count := _count(counters, name)) is not None]
    advance_one(
        JOB,
        attempt.job,
        (*MAY_SUCCEED, JobState.VERIFYING),
        JobState.FINISHED,
        Reason("intake", f"attempt {attempt.number} succeeded", "attempt"),
        events_done=min(sum(done), MAX_EVENTS) if done else None,
        events_skipped=(_count(counters, "events_skipped") or 0) if done else None,
        code="",
        cause="",
        diag="",
        assigned="",
    )


def refuse(attempt: Attempt, finding: str, text: str) -> None:
    """Fail an attempt whose reported success proved wrong, by the rule for this finding; in a transaction."""
    rule = rules_of(attempt.task.experiment.name).for_finding(finding)
    assert rule is not None, "every finding has a rule"
    diag = shortened(f"{rule.code.label} {rule.id}: {text}", MAX_DIAG)
    told = {"verdict": "failure", "code": rule.code.label, "code_number": rule.code.number, "rule": rule.id}
    fault = (rule.text.cause, rule.text.action)
    told |= {"cause": fault[0], "action": fault[1], "diag": diag}
    advance_one(ATTEMPT, attempt, (AttemptState.VERIFYING,), AttemptState.FAILED, Reason(_WHO, diag, "attempt"), **told)
    follow_failure(attempt, fault, diag, code=rule.code.label)


def claimed_files(attempt: Attempt, report: Report) -> list[File]:
    """The published files that the job was expected to have, as the report claims them. Raises UsageError."""
    expected = _expected(attempt)
    return [File(file.url or "", file.size, file.adler32) for file in report.outputs if file.name in expected]


def end_attempt(attempt: Attempt, state: str, report: Report, why: str) -> None:
    """Move an attempt to the state in which its final report leaves it, with the fields of the verdict."""
    verdict = report.verdict
    signature = _signature(attempt, report)
    advance_one(
        ATTEMPT,
        attempt,
        (*ACTIVE_ATTEMPT, AttemptState.LOST),
        state,
        Reason("intake", why, "attempt"),
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
        **usage_columns(report.usage, verdict.counters, report.inputs, report.outputs),
    )


def outputs_of(
    attempt: Attempt, report: Report, expected: dict[str, worker_job.Output], task: Task
) -> Iterator[dict[str, Any]]:
    """Rows for those files of a report that the job was expected to publish. The task comes with its experiment."""
    counters = report.verdict.counters
    checks = profile_of(task.experiment.name).file_checks
    replaced = {finding.fields.get("file") for finding in report.findings if finding.name == "output-replaced"}
    for file in report.outputs:
        output = expected.get(file.name)
        if output is None:
            continue
        counted = (_count(counters, name) for name in checks.output_kind(output.kind).events if name in counters)
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


def _expected(attempt: Attempt) -> dict[str, worker_job.Output]:
    return expected_files(attempt).by_name


def _inconsistent(report: Report, expected: dict[str, worker_job.Output]) -> str:
    """Return the contradiction between the report of a success and its job, as a sentence; empty when there is none."""
    if report.exit_status != 0 or report.state != "done":
        return f"a success with exit status {report.exit_status} and state {report.state}"
    told = {file.name: file for file in report.outputs}
    if len(told) != len(report.outputs):
        return "a success that names an output twice"
    if missing := [name for name in expected if name not in told]:
        return f"a success without {', '.join(missing)}"
    return why_elsewhere(report, expected)


def why_elsewhere(report: Report, expected: dict[str, worker_job.Output]) -> str:
    """Name the file of a report that is at none of its destinations, in a sentence; empty when every one is."""
    for file in report.outputs:
        output = expected.get(file.name)
        places = [] if output is None else [place(to, output.published_name) for to in output.destinations]
        if places and file.url not in places:
            return f"{file.name} is reported at {file.url}, which is none of its destinations: {', '.join(places)}"
    return ""


def _count(counters: Mapping[str, float], name: str) -> int | None:
    """A number of events, if the report tells one: a log may say anything."""
    value = counters.get(name)
    return int(value) if value is not None and 0 <= value <= MAX_EVENTS else None


def _signature(attempt: Attempt, report: Report) -> Signature | None:
    text = report.verdict.signature
    if text is None:
        return None
    row, _ = Signature.objects.get_or_create(
        experiment_id=attempt.task.experiment_id, signature=text, defaults={"diag": report.verdict.diag}
    )
    Signature.objects.filter(pk=row.pk).update(count=F("count") + 1, last=now())
    return row
