"""Attempts as several pages need them: found by the number in an address, with what their report says."""

from __future__ import annotations

from dataclasses import dataclass

from pilotext.model.report import Report
from pilotext.model.verdict import Verdict
from pilotext.serialization.json import from_json
from pilotext.server.production.models import Attempt, AttemptReport
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.jobs import verdict_in

MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class ReadReport:
    """The report of an attempt, and its verdict, which may have been judged again; both None where no report came."""

    report: Report | None = None
    verdict: Verdict | None = None


def find_attempt(job: int, number: int | None) -> Attempt:
    """Return an attempt of a job with its rows. Raises RefusalError where there is none of this number."""
    rows = Attempt.objects.select_related("job__task__experiment", "task__experiment", "site", "final_report")
    if number is None or number > MAX_NUMBER or (found := rows.filter(job=job, number=number).first()) is None:
        raise RefusalError("not-found", f"job {job} has no such attempt; its page lists them.")
    return found


def report_of(attempt: Attempt) -> ReadReport:
    """Return what the report of an attempt says."""
    kept: AttemptReport | None = getattr(attempt, "final_report", None)
    return ReadReport() if kept is None else ReadReport(*read_report(kept))


def read_report(kept: AttemptReport) -> tuple[Report, Verdict]:
    """Return a kept report, and its verdict."""
    return from_json(kept.report, Report), verdict_in(kept)
