"""Bytes of logs, an exit status and findings to a verdict.

`LogScan` reads logs while they are written, `judge` says what they mean for a `Case`, `classify_files` does both for
logs that are complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pilotext.classify.follow import LogScan, Progress, named_files
from pilotext.classify.judge import judge, provisional
from pilotext.classify.observe import Case
from pilotext.classify.sighting import Matches
from pilotext.model.verdict import ExitStatus, Finding, Verdict
from pilotext.rules.schema import RuleSet

__all__ = ["Case", "LogScan", "Matches", "Progress", "classify_files", "judge", "named_files", "provisional"]


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
) -> Verdict:
    """The verdict on a job that has ended. `streams` are its logs: `stdout`, `stderr`, and others by their names.

    `counters` are what is known beside the logs, `software` the version of the experiment's software.
    """
    named = {} if workdir is None else named_files(ruleset, workdir)
    matches = LogScan(ruleset, kind=kind, job_type=job_type, streams={**named, **streams}).finish()
    case = Case(kind, job_type, exit, tuple(findings), workdir, counters or {}, software)
    return judge(ruleset, matches, case)
