from __future__ import annotations

import pytest

from pilotext.rules.conditions import Condition
from pilotext.rules.examples import check_examples, fulfilled
from pilotext.rules.loader import load_rules
from tests.rules.packs import RULE, Pack


def problems(pack: Pack, condition: str, examples: str) -> list[str]:
    pack.add(f"rules: [{{id: boom, code: 1299, {condition}, {RULE}, examples: [{examples}]}}]\n")
    found = check_examples(load_rules("COMPASS", [pack.root]))
    assert {problem.rule for problem in found} <= {"boom"}
    return [f"{problem.message} {problem.advice}".rstrip() for problem in found]


def test_examples_that_behave_as_they_say_are_no_problem(pack: Pack) -> None:
    good = "{match: 'boom 7', fields: {n: '7'}}, {no-match: bang}"
    assert problems(pack, "match: 'boom (?<n>[0-9]+)'", good) == []


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("{match: boom}", "example 1: the rule does not match 'boom'."),
        ("{no-match: boom 7}", "example 1: the rule matches 'boom 7' and must not."),
        ("{match: boom 7, fields: {n: '8'}}", "example 1: the fields of 'boom 7' are {'n': '7'}, not {'n': '8'}."),
        ("{match: boom 7, no-match: bang}", "example 1: it must say either `match` or `no-match`."),
        ("{fields: {n: '7'}}", "example 1: it must say either `match` or `no-match`."),
    ],
)
def test_an_example_that_behaves_otherwise_is_told(pack: Pack, example: str, words: str) -> None:
    assert any(one.startswith(words) for one in problems(pack, "match: 'boom (?<n>[0-9]+)'", example))


def test_every_form_of_evidence_needs_an_example(pack: Pack) -> None:
    forms = "any: [{match: boom}, {contains: bang}, {exit: {codes: [3]}}]"
    assert problems(pack, forms, "{match: boom}, {match: bang}") == []
    assert problems(pack, forms, "{match: boom}") == ["no example shows `bang`. Add a `match` example for it."]


def test_an_example_of_a_missing_marker_is_a_log_without_it(pack: Pack) -> None:
    assert problems(pack, "absent: The end", "{match: 'Event: 5'}, {no-match: \"Event: 5\\nThe end\"}") == []
    [problem] = problems(pack, "absent: The end", "{match: The end}")
    assert problem == "example 1: the rule does not match 'The end'. It contains `The end`, which must be absent."


def test_a_pattern_that_backtracks_without_end_is_told(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotext.rules.examples.TIMEOUT_S", 0.01)
    [problem] = problems(pack, "match: '(a|aa)+$'", f"{{match: {'a' * 5000}b}}")
    assert problem.startswith("a pattern needs longer than 0.01 s for an example.")


def test_a_text_is_looked_at_as_cleaned_lines() -> None:
    assert fulfilled(Condition(match="^TLattice: Cannot"), "first\nTLattice:\a Cannot")
    assert not fulfilled(Condition(match="first\nsecond"), "first\nsecond")
    assert fulfilled(Condition(match="first\nsecond", lines=2), "zero\nfirst\nsecond")


@pytest.mark.parametrize(
    ("condition", "example", "words"),
    [
        ("match: 'boom [0-9]+ of'", "boom 7 at", "Nearest is the line to `boom [0-9]+ of`: it fits up to `boom"),
        ("match: BOOM now", "boom now", "Nearest is the line to `BOOM now`: it differs only in case"),
        ("contains: BOOM now", "boom now", "it differs only in case"),
        (r"match: 'boom:\n(?<what>.+)'", "boom:\\nnow", "it needs `lines: 2`: it fits up to `boom:`, then"),
        ("any: [{match: quite another}, {match: 'boom [0-9]+ of'}]", "boom 7 at", "to `boom [0-9]+ of`: it fits up to"),
        ("match: quite another", "bang", "No line comes near `quite another`."),
    ],
)
def test_an_example_that_does_not_match_says_what_explain_would(
    pack: Pack, condition: str, example: str, words: str
) -> None:
    found = problems(pack, condition, f'{{match: "{example}"}}')
    assert any(words in one for one in found), found
