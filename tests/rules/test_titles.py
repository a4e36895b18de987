"""Titles and remedies of the shipped rules are for a shifter at night: plain words, and something to do."""

from __future__ import annotations

import re

import pytest

from pilotext.profile import load_experiment
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule

RULES = {rule.id: rule for rule in load_rules("COMPASS").rules}
JARGON = re.compile(
    r"uncaught|heap corruption|method called|non-zero|I/O error|no known message|do not add up$|differ$|^harmless"
    r"|network connection failed|permission denied (?:reading|writing)|out of memory|coral\.exe returned",
    re.IGNORECASE,
)
MAX_TITLE = 100
DECIDING = {name: rule for name, rule in RULES.items() if rule.text.action != "note"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_title_is_short_and_in_plain_words(rule: Rule) -> None:
    assert not JARGON.search(rule.text.title)
    assert len(rule.text.title) <= MAX_TITLE


def test_no_two_rules_of_one_experiment_have_the_same_title() -> None:
    titles = [rule.text.title for rule in RULES.values()]
    assert sorted(title for title in titles if titles.count(title) > 1) == []


@pytest.mark.parametrize("rule", DECIDING.values(), ids=DECIDING)
def test_a_verdict_says_what_to_do_and_whom_to_ask(rule: Rule) -> None:
    assert len(rule.text.remedy.split()) > 5
    assert not re.match(r"(?:Read|Check|Nothing)[^;,]{0,30}\.$", rule.text.remedy)
    teams = load_experiment("COMPASS").teams
    assert "," in teams[rule.text.owner], "a team, and how it is reached"


def test_what_a_node_lacks_is_not_tried_again_on_it() -> None:
    mounts = {name: rule.text.action for name, rule in DECIDING.items() if "mounted on the node" in rule.text.remedy}
    assert len(mounts) > 5
    assert [name for name, action in mounts.items() if action == "retry"] == []
