"""Trial of rules in a child process, which limits its own memory and processor time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import msgspec

from pilotext.errors import FieldError
from pilotext.serialization.json import from_json
from pilotext.server.production.models import Attempt
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.rule_trials.records import KeptReport, TrialRequest, TrialResult
from pilotext.server.production.states import AttemptState
from pilotext.server.production.statistics.jobs import verdict_in

WITHIN_S = 30.0
MAX_REPORTS = 200
MAX_REPORTS_BYTES = 8_000_000
AT_ONCE = 1
INHERITED = ("PATH", "PILOTEXT_RULES", "TMPDIR")
_trying = threading.BoundedSemaphore(AT_ONCE)


def newest_reports(experiment: str, limit: int) -> tuple[KeptReport, ...]:
    """Return the kept reports of the newest failed attempts of an experiment, within MAX_REPORTS_BYTES."""
    rows = Attempt.objects.filter(
        state=AttemptState.FAILED,
        verdict__in=("failure", "unknown"),
        task__experiment__name=experiment,
        final_report__late=False,
    )
    found: list[KeptReport] = []
    total = 0
    for row in rows.select_related("final_report").order_by("-pk")[: min(limit, MAX_REPORTS)]:
        total += len(row.final_report.report)
        if total > MAX_REPORTS_BYTES:
            break
        verdict = verdict_in(row.final_report)
        before, action = verdict.code or verdict.verdict, verdict.action or ""
        found.append(KeptReport(row.pk, row.job_id, row.final_report.report, before, action))
    return tuple(found)


def run_trial(asked: TrialRequest) -> TrialResult:
    """Return the result of a trial. Raises RefusalError where it takes too long, or another one is running."""
    if not _trying.acquire(blocking=False):
        raise RefusalError("busy", "another trial of rules is running; try again in half a minute.")
    try:
        return _run(asked)
    finally:
        _trying.release()


def _run(asked: TrialRequest) -> TrialResult:
    known = {name: value for name, value in os.environ.items() if name in INHERITED}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pilotext.server.production.rule_trials.child"],
            input=msgspec.json.encode(asked),
            capture_output=True,
            timeout=WITHIN_S,
            env=known,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RefusalError(
            "too-slow", f"the trial took longer than {WITHIN_S:g} s; a pattern may be too slow, or the log too large."
        ) from None
    if done.returncode != 0:
        raise RefusalError("invalid", "the trial ended without a result: it needs too much memory or time.")
    try:
        return from_json(done.stdout, TrialResult)
    except FieldError as error:
        raise RefusalError("internal", f"the trial ended without a result: {error}") from None
