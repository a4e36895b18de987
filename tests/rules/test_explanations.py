from __future__ import annotations

from typing import Any

from pilotext.rules.conditions import ExitCondition
from pilotext.rules.explanations import circles, explanations
from pilotext.rules.schema import RuleText


def rule(name: str, **fields: Any) -> RuleText:
    texts = {"match": "x"} if not fields.keys() & {"absent", "exit", "finding"} else {}
    plain = {"id": name, "code": 1200, "title": "t", "cause": "memory", "action": "retry", **texts, **fields}
    return RuleText(**plain)


def test_both_ends_of_a_link_mean_the_same() -> None:
    rules = [rule("fire", explains=("smoke",)), rule("smoke"), rule("ash", consequence_of=("fire",))]
    assert explanations(rules) == {"fire": ("smoke", "ash"), "smoke": (), "ash": ()}


def test_a_link_that_is_written_at_both_ends_counts_once() -> None:
    rules = [rule("fire", explains=("smoke",)), rule("smoke", consequence_of=("fire",))]
    assert explanations(rules)["fire"] == ("smoke",)


def test_a_rule_explains_what_it_is_made_of() -> None:
    whole = rule("whole", match=None, all=("fire", "smoke"))
    assert explanations([whole, rule("fire"), rule("smoke"), rule("rain")])["whole"] == ("fire", "smoke")


def test_a_cause_that_no_rule_knows_explains_nothing() -> None:
    assert explanations([rule("smoke", consequence_of=("ghost",))]) == {"smoke": ()}


def test_any_stands_for_every_failure_that_a_text_or_a_status_shows() -> None:
    rules = [
        rule("text"),
        rule("status", exit=ExitCondition(codes=(1,))),
        rule("marker", absent="End"),
        rule("measured", finding="law-broken"),
        rule("benign", action="note"),
        rule("on-trial", status="shadow"),
        rule("explained"),
        rule("end", absent="The end", consequence_of=("any",), explains=("explained",)),
    ]
    assert {name for name, explained in explanations(rules).items() if "end" in explained} == {"text", "status"}


def test_a_circle_is_found_from_each_of_its_rules() -> None:
    rules = [rule("a", explains=("b",)), rule("b", explains=("c",)), rule("c", explains=("a",)), rule("d")]
    assert set(circles(rules)) == {("a", "b", "c", "a"), ("b", "c", "a", "b"), ("c", "a", "b", "c")}


def test_two_ways_to_one_consequence_are_no_circle() -> None:
    rules = [rule("a", explains=("b", "c")), rule("b", explains=("d",)), rule("c", explains=("d",)), rule("d")]
    assert list(circles(rules)) == []
