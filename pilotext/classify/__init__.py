"""Classifier: logs, an exit status and findings in, a verdict out.

`LogScan` reads logs while they are written, `decide_verdict` gives the verdict on a `Case`, `classify_files` does both
for logs that are complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pilotext.classify.conditions import Case
from pilotext.classify.log_reader import LogScan, Progress, named_files
from pilotext.classify.rule_match import Matches
from pilotext.classify.verdict import decide_verdict, provisional_verdict
from pilotext.model.verdict import ExitStatus, Finding, Verdict
from pilotext.rules.schema import RuleSet

__all__ = [
    "Case",
    "LogScan",
    "Matches",
    "Progress",
    "classify_files",
    "decide_verdict",
    "named_files",
    "provisional_verdict",
]


def classify_files(
    ruleset: RuleSet,
    *,
    kind: str,
    job_type: str,
    streams: Mapping[str, Path],
    exit: ExitStatus | None,
    workdir: Path | None = None,
    findings: Sequence[Finding] = (),
    counters: Mapping[str, int | float] | None = None,
    software: str = "",
    verified: bool = False,
) -> Verdict:
    """Return the verdict on a job that has ended. `streams` are its logs: `stdout`, `stderr`, and others by name.

    `counters` are those known from elsewhere than the logs, `software` the version of the experiment's software,
    `verified` says that outputs or event counts were checked.
    """
    named = {} if workdir is None else named_files(ruleset, workdir)
    matches = LogScan(ruleset, kind=kind, job_type=job_type, streams={**named, **streams}).finish()
    case = Case(kind, job_type, exit, tuple(findings), workdir, counters or {}, software, verified)
    return decide_verdict(ruleset, matches, case)
