"""Reports for tests."""

from __future__ import annotations

from pilotext.model.job import JobIdentity
from pilotext.model.report import Report
from pilotext.model.verdict import Verdict
from tests.support.jobs import make_job


def make_report(**fields: object) -> Report:
    """The report of a job whose payload failed, with these fields set or replaced."""
    verdict = Verdict(verdict="failure", code="COMPASS-1241", number=581241, diag="COMPASS-1241 cannot-allocate: x")
    standard: dict[str, object] = {
        "pilotext": "0",
        "job": JobIdentity.of(make_job()),
        "state": "failed",
        "phase": "payload",
        "exit_status": 66,
        "verdict": verdict,
        "started": 1.0,
    }
    return Report(**{**standard, **fields})  # type: ignore[arg-type]
