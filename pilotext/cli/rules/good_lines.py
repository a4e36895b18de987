"""Corpus of lines of good jobs on which no rule may decide, in either stream of one job type of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pilotext.classify import LogScan
from pilotext.errors import FileProblem
from pilotext.profile import find_rules_root
from pilotext.rules.schema import RuleSet

STREAMS = ("stdout", "stderr")


def own_good_lines() -> list[Path]:
    """Return the files of good lines of a checkout; an installed package has none."""
    return sorted((find_rules_root().parent / "fixtures" / "good_lines").glob("*.txt"))


def taken_lines(path: Path, ruleset: RuleSet) -> Iterator[FileProblem]:
    """Yield each line of the file that a rule takes for a failure, with the rule."""
    job_type_of = {kind: job_type for job_type, kind in reversed([*ruleset.kinds.items()])}
    for kind, job_type in job_type_of.items():
        for stream in STREAMS:
            scan = LogScan(ruleset, kind=kind, job_type=job_type, streams={stream: path})
            for one in scan.finish().rule_matches:
                if one.rule.text.action != "note" and one.rule.text.status == "active":
                    text = f"the rule takes a line of a good {kind} job on {stream} for a failure."
                    place = one.evidence[0].line
                    yield FileProblem(path.resolve(), place, 1, one.rule.id, text, "Narrow its pattern.")
