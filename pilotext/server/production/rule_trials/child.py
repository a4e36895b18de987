"""Child process that tries rules: a request as JSON on stdin, the result as JSON on stdout."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pilotext.classify import Case, classify_files
from pilotext.classify.explain import explain
from pilotext.classify.reclassify import reclassify
from pilotext.errors import PilotextError, RuleFilesError
from pilotext.model.report import Report
from pilotext.model.verdict import ExitStatus, Verdict
from pilotext.profile import find_profile
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet
from pilotext.serialization.json import from_json
from pilotext.server.production.rule_trials.patch import NEW_FILE, patch_of
from pilotext.server.production.rule_trials.records import (
    ChangedReport,
    KeptReport,
    LogVerdict,
    RuleOutcome,
    TrialRequest,
    TrialResult,
)

MAX_PROBLEMS = 50
MAX_CPU_S = 31
"""The server waits for 30 s; a child that it could not end ends by itself."""

MAX_MEMORY_BYTES = 2_000_000_000


def try_rules(asked: TrialRequest) -> TrialResult:
    """Return the effect of a rule file on a log and on kept reports, or what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="pilotext-trial-") as name:
        folder = Path(name).resolve()
        room = folder / find_profile(asked.experiment).parent.name
        room.mkdir()
        file = room / NEW_FILE
        file.write_text(asked.rules, encoding="utf-8")
        try:
            today = load_rules(asked.experiment)
            tried = load_rules(asked.experiment, [folder])
        except RuleFilesError as error:
            told = tuple(str(problem).removeprefix(f"{room}/") for problem in error.problems[:MAX_PROBLEMS])
            return TrialResult(problems=told)
        except PilotextError as error:
            return TrialResult(problems=(str(error).replace(f"{room}/", ""),))
        mine = [rule for rule in tried.rules if rule.place.file == file]
        before, after, outcomes = _on_log(asked, folder, today, tried, mine)
        return TrialResult(
            rules=tuple(rule.id for rule in mine),
            before=before,
            after=after,
            outcomes=outcomes,
            looked_at=len(asked.reports),
            changed=tuple(_changed(tried, asked.reports)),
            patch=patch_of(asked.rules, mine, today),
        )


def _on_log(
    asked: TrialRequest, folder: Path, today: RuleSet, tried: RuleSet, mine: list[Rule]
) -> tuple[LogVerdict | None, LogVerdict | None, tuple[RuleOutcome, ...]]:
    if not asked.log:
        return None, None, ()
    log = folder / "log"
    log.write_text(asked.log, encoding="utf-8", errors="surrogateescape")
    kind = tried.kinds.get(asked.job_type, "tool")
    case = Case(kind=kind, job_type=asked.job_type, exit=ExitStatus(code=asked.exit_code))
    streams = {asked.stream: log}
    old, new = (
        classify_files(rules, kind=kind, job_type=asked.job_type, streams=streams, exit=case.exit)
        for rules in (today, tried)
    )
    outcomes = []
    for rule in tried.for_job(kind, asked.job_type):
        if any(rule.id == each.id for each in mine):
            told = explain(rule, new, case, streams)
            outcomes.append(RuleOutcome(rule.id, told.outcome, told.reasons, told.evidence))
    return _told(old), _told(new), tuple(outcomes)


def _told(verdict: Verdict) -> LogVerdict:
    dropped = tuple((one.rule, one.reason) for one in verdict.dropped)
    return LogVerdict(verdict.verdict, verdict.code or "", verdict.rule or "", verdict.diag, verdict.evidence, dropped)


def _changed(tried: RuleSet, reports: tuple[KeptReport, ...]) -> Iterator[ChangedReport]:
    for kept in reports:
        new = reclassify(tried, from_json(kept.report, Report))
        after = new.code or new.verdict
        if (after, new.action or "") != (kept.before, kept.action):
            yield ChangedReport(kept.attempt, kept.job, kept.before, after, new.rule or "", new.diag)


def main() -> int:
    """Read a request and print the result, within limits: patterns and logs are those of whoever asks."""
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    result = try_rules(from_json(sys.stdin.buffer.read(), TrialRequest))
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
