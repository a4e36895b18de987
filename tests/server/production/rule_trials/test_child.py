"""Trials of changed rules on logs, as the child process makes them, and their patches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pilotext.profile import find_rules_root
from pilotext.rules.loader import load_rules
from pilotext.server.production.rule_trials.child import try_rules
from pilotext.server.production.rule_trials.patch import text_of
from pilotext.server.production.rule_trials.records import TrialRequest, TrialResult

pytestmark = pytest.mark.unit

NEW = """format: 1
experiment: COMPASS

rules:
  - id: lost-marbles
    code: 1200
    title: The program lost its marbles
    cause: fatal-error
    action: manual-check
    contains: lost my marbles
    stream: stdout
    since: 2026-01-01
    owner: coral
    remedy: Look for them.
    examples:
      - match: lost my marbles
      - no-match: found my marbles
"""


def tried(rules: str = NEW, log: str = "", **more: object) -> TrialResult:
    return try_rules(TrialRequest("COMPASS", rules, log, **more))  # type: ignore[arg-type]


def test_a_new_rule_wins_on_a_log_and_comes_out_as_a_patch() -> None:
    result = tried(log="begin\nlost my marbles\n", exit_code=1)
    assert result.problems == ()
    assert result.after is not None
    assert (result.after.rule, result.after.code) == ("lost-marbles", "COMPASS-1200")
    assert result.after.evidence[0].line == 2
    assert result.before is not None
    assert result.before.rule != "lost-marbles"
    assert [(each.rule, each.outcome) for each in result.outcomes] == [("lost-marbles", "elected")]
    assert result.patch.startswith("--- /dev/null\n+++ b/rules/compass/")


def test_a_rule_that_does_not_match_says_why() -> None:
    (outcome,) = tried(log="found my marbles\n").outcomes
    assert outcome.outcome == "not seen"
    assert outcome.reasons


def test_a_changed_rule_replaces_the_one_of_today_by_a_patch_that_applies(tmp_path: Path) -> None:
    rule = load_rules("COMPASS").rule("fatal-error")
    assert rule is not None
    changed = text_of(rule, "COMPASS").replace("action: manual-check", "action: fail")
    result = tried(changed)
    assert result.problems == ()
    assert result.rules == ("fatal-error",)
    subprocess.run(["cp", "-r", find_rules_root(), tmp_path / "rules"], check=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "-"], input=result.patch, text=True, cwd=tmp_path, check=True)
    before = rule.place.file.read_text()
    after = (tmp_path / "rules" / rule.place.file.relative_to(find_rules_root())).read_text()
    assert before != after
    assert "override" not in after
    assert len(before.splitlines()) == len(after.splitlines())


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("format: 1\nrules: [", "tried.yaml"),
        (NEW.replace("contains:", "contain:"), "contain"),
        (NEW.replace("contains: lost my marbles", "match: '(unclosed'"), "tried.yaml"),
        (NEW.replace("lost-marbles", "fatal-error"), "fatal-error"),
    ],
)
def test_a_wrong_rule_file_is_answered_with_its_problems(rules: str, said: str) -> None:
    result = tried(rules)
    assert any(said in problem for problem in result.problems)
    assert not any("/tmp" in problem for problem in result.problems)
    assert result.patch == ""
