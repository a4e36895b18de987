from __future__ import annotations

import pytest

from pilotext.rules.lint.runner import lint
from tests.rules.packs import RULE, Pack

EXAMPLES = "examples: [{match: the boom is here}, {no-match: bang}]"

WIDE = EXAMPLES.replace("[", "[{match: boom}, ", 1)


def shadowed(pack: Pack, narrow: str, wide: str) -> list[str]:
    """The problems of rule `narrow`, which looks for `boom is`, beside rule `a-wide`, which looks for `boom`."""
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    path = pack.add(
        f"rules:\n- {{id: narrow, code: 1201, match: boom is, {narrow}{RULE}, {EXAMPLES}}}\n"
        f"- {{id: a-wide, code: 1202, match: boom, {wide}{RULE}, {WIDE}}}\n",
        "na62/a.yaml",
    )
    found = lint([path])
    assert {problem.rule for problem in found} <= {"narrow"}
    return [f"{problem.message} {problem.advice}" for problem in found]


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("", "explains: [narrow], "),
        ("stream: stderr, ", "explains: [narrow], stream: any, "),
        ("jobs: [tool], ", "explains: [narrow], jobs: [tool, merging], "),
    ],
)
def test_a_rule_that_always_loses_to_another_is_told(pack: Pack, narrow: str, wide: str) -> None:
    [problem] = shadowed(pack, narrow, wide)
    assert problem.startswith("the rule can never win: a-wide is elected on each of its examples. Add `explains")


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("", ""),
        ("explains: [a-wide], ", ""),
        ("", "stream: stderr, "),
        ("", "jobs: [tool], "),
        ("status: shadow, ", ""),
        ("", "status: shadow, "),
    ],
)
def test_a_rule_that_may_win_somewhere_is_left_alone(pack: Pack, narrow: str, wide: str) -> None:
    assert shadowed(pack, narrow, wide) == []


def test_a_rule_that_wins_on_one_of_its_examples_is_left_alone(pack: Pack) -> None:
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    path = pack.add(
        f"rules:\n- {{id: b, code: 1201, match: boom|beam, {RULE}, {EXAMPLES.replace('[', '[{match: beam}, ')}}}\n"
        f"- {{id: a, code: 1202, match: the boom, {RULE}, {EXAMPLES}}}\n",
        "na62/a.yaml",
    )
    assert lint([path]) == []


TIE = """\
rules:
- {{id: one, code: 1201, match: the boo, {one}{RULE}, {EXAMPLES}}}
- {{id: two, code: 1202, match: boom is, {two}{RULE}, {EXAMPLES}}}
"""


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ("", "", ["one", "two"]),
        ("stream: stderr, ", "", ["one", "two"]),
        ("explains: [two], ", "", []),
        ("jobs: [tool], ", "", []),
        ("stream: stderr, ", "stream: stdout, ", []),
        ("jobs: [tool], ", "jobs: [merging], ", []),
    ],
)
def test_rules_that_match_a_line_alike_need_explains(pack: Pack, one: str, two: str, told: list[str]) -> None:
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    text = TIE.format(one=one, two=two, RULE=RULE, EXAMPLES=EXAMPLES)
    found = [problem for problem in lint([pack.add(text, "na62/a.yaml")]) if "just as well" in problem.message]
    assert [problem.rule for problem in found] == told


def test_a_new_name_never_changes_the_verdict(pack: Pack) -> None:
    text = TIE.format(one="", two="", RULE=RULE, EXAMPLES=EXAMPLES).replace("match: the boo,", "match: the boom is,")
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    for new in ("zzz", "aaa"):
        path = pack.add(text.replace("id: one", f"id: {new}"), "na62/a.yaml")
        assert [problem.message for problem in lint([path]) if "just as well" in problem.message] == []
