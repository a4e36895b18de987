"""A fatal line in a good log never leaves it a success: every example of every rule, in a log of each job type."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.model.verdict import ExitStatus, Verdict
from pilotext.profile import load_experiment
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet

LOGS = Path(__file__).resolve().parents[2] / "fixtures" / "logs"
GOOD = {
    "mass production": "production-good",
    "DDD filtering": "good-filter-decoding",
    "merging hist": "merge-good",
    "MC generation": "good-mc-generation",
    "coral": "good-coral-high-verbosity",
    "root": "good-root-macro",
}
MARKED = ("mass production", "DDD filtering", "coral")
"""Types whose end marker can outweigh a text."""

RULES = load_rules("COMPASS")


def judged(folder: Path, ruleset: RuleSet, job_type: str, line: str, stream: str) -> Verdict:
    """The verdict on a good log of such a job, with `line` before its last lines."""
    for name in ("stdout", "stderr"):
        lines = (LOGS / GOOD[job_type] / name).read_text().split("\n")
        lines[len(lines) // 2 : len(lines) // 2] = [line] if name == stream else []
        (folder / name).write_text("\n".join(lines))
    return classify_files(
        ruleset,
        kind=load_experiment("COMPASS").kind_of(job_type),
        job_type=job_type,
        streams={name: folder / name for name in ("stdout", "stderr")},
        exit=ExitStatus(code=0),
    )


def stream_of(rule: Rule) -> str:
    return "stdout" if any(condition.stream == "stdout" for condition in rule.conditions) else "stderr"


FATAL = [
    rule
    for rule in RULES.rules
    if rule.text.action != "note"
    and rule.text.status == "active"
    and {condition.stream for condition in rule.conditions if condition.match or condition.contains}
    in ({"stderr"}, {"stdout"})
]


@pytest.mark.parametrize("rule", FATAL, ids=lambda rule: rule.id)
@pytest.mark.parametrize("job_type", GOOD)
def test_a_fatal_line_makes_a_good_log_a_failure(tmp_path: Path, rule: Rule, job_type: str) -> None:
    kind = load_experiment("COMPASS").kind_of(job_type)
    if not rule.applies_to(kind, job_type):
        return
    for example in rule.text.examples:
        if example.match is None:
            continue
        verdict = judged(tmp_path, RULES, job_type, example.match, stream_of(rule))
        unless = rule.text.unless
        silent = unless.alone or ((unless.good_end or unless.checked_end) and job_type in MARKED)
        assert silent or verdict.verdict == "failure", example.match
