"""Records between the server and the child process that tries rules."""

from __future__ import annotations

from pilotext.model import Record
from pilotext.model.verdict import Evidence


class KeptReport(Record, frozen=True):
    """A report of a failed attempt, and its verdict before the trial."""

    attempt: int
    job: int
    report: str
    before: str
    action: str


class TrialRequest(Record, frozen=True):
    """A rule file with what it is tried on: a log with how its program ended, and kept reports."""

    experiment: str
    rules: str
    log: str = ""
    stream: str = "stdout"
    job_type: str = ""
    exit_code: int = 0
    reports: tuple[KeptReport, ...] = ()


class RuleOutcome(Record, frozen=True):
    """Outcome of one of the tried rules on the log, with the reasons in sentences."""

    rule: str
    outcome: str
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...]


class LogVerdict(Record, frozen=True):
    """Verdict on the log: by which rule, and why other rules were not elected."""

    verdict: str
    code: str
    rule: str
    diag: str
    evidence: tuple[Evidence, ...]
    dropped: tuple[tuple[str, str], ...]


class ChangedReport(Record, frozen=True):
    """An attempt whose verdict would be another one."""

    attempt: int
    job: int
    before: str
    after: str
    rule: str
    diag: str


class TrialResult(Record, frozen=True):
    """Result of a trial: problems of the rule file alone, or the effect of its rules and a patch with them."""

    problems: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    before: LogVerdict | None = None
    after: LogVerdict | None = None
    outcomes: tuple[RuleOutcome, ...] = ()
    looked_at: int = 0
    changed: tuple[ChangedReport, ...] = ()
    patch: str = ""
