"""Rules that are made of other rules."""

from __future__ import annotations

from pathlib import Path

from pilotext.model.verdict import Verdict
from pilotext.rules.schema import Rule
from tests.classify.inline import rule, ruleset, verdict

FIRE = rule("fire", common=True, match="fire in (?<where>\\w+)", message="{where} burns")
SMOKE = rule("smoke", contains="smoke", action="note")


def judged(folder: Path, *rules: Rule, stderr: str) -> Verdict:
    return verdict(folder, ruleset(*rules), stderr=stderr, stdout="")


def test_all_is_fulfilled_when_each_rule_was_seen_and_wins_with_their_lines(tmp_path: Path) -> None:
    both = rule("both", all=["smoke", "fire"], message="{where} smokes", explains=["fire"])
    found = judged(tmp_path, FIRE, SMOKE, both, stderr="fire in hall\nsmoke\n")
    assert found.rule == "both"
    assert found.diag == "COMPASS-1201 both: hall smokes (stderr:2)"
    assert {one.text for one in found.evidence} == {"fire in hall", "smoke"}


def test_all_is_not_fulfilled_by_some(tmp_path: Path) -> None:
    assert judged(tmp_path, FIRE, SMOKE, rule("both", all=["smoke", "fire"]), stderr="fire in hall\n").rule == "fire"


def test_any_takes_rules_beside_texts(tmp_path: Path) -> None:
    either = rule("either", any=["fire", {"contains": "flood"}])
    assert judged(tmp_path, FIRE, either, stderr="fire in hall\n").rule == "either"
    assert judged(tmp_path, FIRE, either, stderr="flood\n").rule == "either"
    assert judged(tmp_path, FIRE, either, stderr="hail\n").verdict == "success"


def test_a_rule_may_be_made_of_rules_that_are_made_of_rules(tmp_path: Path) -> None:
    outer, middle = rule("outer", all=["middle"], explains=["middle"]), rule("middle", all=["fire"], explains=["fire"])
    assert judged(tmp_path, outer, middle, FIRE, stderr="fire in hall\n").rule == "outer"
