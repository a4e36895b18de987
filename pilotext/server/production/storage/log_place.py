"""The place where the log of an attempt is, as far as the server knows, and why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pilotext.errors import UsageError
from pilotext.formatting import clock
from pilotext.model.report import Report
from pilotext.server.production.expected_files import expected_files
from pilotext.server.production.models import Attempt, LogArchive
from pilotext.server.production.states import ACTIVE_ATTEMPT, LogArchiveState
from pilotext.server.production.storage import operations

_NOT_DELIVERED = "log-not-delivered"
"""Finding of a worker that could not deliver its log."""


@dataclass(frozen=True)
class LogPlace:
    """URL of the archive of an attempt's logs, empty where none is known of; `notes` say what is special about it."""

    url: str
    adler32: str
    notes: tuple[str, ...]


def place_of_log(attempt: Attempt, report: Report | None) -> LogPlace:
    """Return where the log of an attempt is. The attempt comes with its job, task and experiment.

    A report may name any file as its log: only one at a place where the job's log belongs is taken for it.
    """
    try:
        target = expected_files(attempt).log
    except UsageError as error:
        return LogPlace("", "", (f"The profile cannot say any more where the log belongs: {error}",))
    if target is None or target.name is None:
        return LogPlace("", "", ("The profile has no place for logs of such jobs.",))
    expected = [operations.place(each, target.name) for each in target.destinations]
    notes = list(_notes(attempt, report))
    log = report.log if report is not None else None
    if log is not None and log.url:
        if log.url in expected:
            return LogPlace(log.url, log.adler32, tuple(notes))
        notes.append(f"The report names {log.url} as its log. Logs of this job belong elsewhere, so it is not read.")
        return LogPlace("", "", tuple(notes))
    looked_for = attempt.state not in ACTIVE_ATTEMPT and (report is None or _may_have_come_later(report))
    return LogPlace(expected[0] if looked_for and expected else "", "", tuple(notes))


def _notes(attempt: Attempt, report: Report | None) -> Iterator[str]:
    if attempt.state in ACTIVE_ATTEMPT:
        yield "The attempt is at work: its log comes with its end."
    elif report is None:
        yield (
            "No report of this attempt came. A worker that was cut off may have delivered its log all the same: "
            "it is looked for where it belongs."
        )
    elif report.log is None or not report.log.url:
        yield _undelivered(report)
    if (archive := _archive_of_run(attempt)) is not None:
        yield f"The logs of run {archive.run} were put into one archive, {archive.url}, and removed here."


def _may_have_come_later(report: Report) -> bool:
    """Whether a report names no log and does not say why: a worker that is asked to stop reports before it delivers."""
    return report.kept is None and not any(finding.name == _NOT_DELIVERED for finding in report.findings)


def _undelivered(report: Report) -> str:
    if report.kept is not None:
        until = clock(report.kept.until)
        return f"The log was not delivered yet: it waits in {report.kept.folder} on {report.host}, until {until} UTC."
    told = [finding.text for finding in report.findings if finding.name == _NOT_DELIVERED]
    if told:
        return f"The log was not delivered: {told[0]}"
    return (
        "The report names no log. A worker that was stopped may have delivered it after its report: "
        "it is looked for where it belongs."
    )


def _archive_of_run(attempt: Attempt) -> LogArchive | None:
    run = attempt.job.run
    rows = LogArchive.objects.filter(task=attempt.task_id, run=run, state=LogArchiveState.CLEANED)
    return rows.first() if run is not None else None


def notes_on_verdict(report: Report) -> Iterator[str]:
    """Yield why a report has no evidence, or none that a rule knows."""
    findings = {finding.name: finding.text for finding in report.findings}
    if "classifier-failed" in findings:
        yield f"The classifier failed, so nothing was looked for in the logs: {findings['classifier-failed']}"
    if "no-log" in findings:
        yield f"There was no log to judge: {findings['no-log']}"
    if "unclassified" in findings or report.verdict.signature is not None:
        yield "No rule knows this failure; the quoted lines are those that are most likely about it."
    if report.verdict.verdict == "unknown":
        yield "There was nothing to judge by."
