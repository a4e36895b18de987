from __future__ import annotations

from dataclasses import replace
from typing import Any

from pilotext.classify.election import Election, elect
from pilotext.classify.rule_match import Precedence, RuleMatch, place_in_log
from pilotext.model.verdict import Evidence
from pilotext.rules.schema import Rule
from tests.classify.inline import rule


def seen(
    id: str, precedence: Precedence = Precedence.TEXT, *, offset: int = 0, stream: str = "stderr", **fields: Any
) -> RuleMatch:
    evidence = Evidence(rule=id, stream=stream, line=1, offset=offset, text="")
    return RuleMatch(rule(id, contains=id, **fields), precedence, 1, (evidence,), {}, place_in_log(stream, offset))


def election(*rule_matches: RuleMatch, others: tuple[Rule, ...] = ()) -> Election:
    return elect(rule_matches, [*(one.rule for one in rule_matches), *others])


def winner(*rule_matches: RuleMatch) -> str | None:
    elected = election(*rule_matches).winner
    return None if elected is None else elected.rule.id


def reasons(*rule_matches: RuleMatch) -> dict[str, str]:
    return {dropped.rule: dropped.reason for dropped in election(*rule_matches).dropped}


def test_nobody_is_elected_where_nothing_was_seen() -> None:
    assert election() == Election(None, ())


def test_notes_and_shadows_are_never_elected() -> None:
    note, shadow = seen("scary", action="note"), seen("new", status="shadow")
    assert winner(note, shadow) is None
    assert reasons(note, shadow) == {
        "scary": "a note: known to be benign",
        "new": "on trial (shadow): counted, not elected",
    }


def test_a_shadow_explains_nothing() -> None:
    assert winner(seen("new", status="shadow", explains=["old"]), seen("old")) == "old"


def test_a_consequence_loses_to_its_reason_even_where_it_stands_first() -> None:
    first, reason = seen("no-end", offset=1), seen("reason", offset=9, explains=["no-end"])
    assert winner(first, reason) == "reason"
    assert reasons(first, reason) == {"no-end": "explained by reason"}


def test_without_the_reason_the_consequence_is_elected() -> None:
    assert winner(seen("no-end"), seen("other", offset=9)) == "no-end"


def test_a_consequence_of_a_consequence_is_one_even_if_the_step_between_was_not_seen() -> None:
    between = rule("between", contains="x", explains=["last"])
    found = election(seen("reason", offset=9, explains=["between"]), seen("last"), others=(between,))
    assert found.winner is not None
    assert found.winner.rule.id == "reason"
    assert found.dropped[0].reason == "explained by reason"


def test_rules_that_explain_each_other_do_not_make_both_vanish() -> None:
    assert winner(seen("one", offset=2, explains=["two"]), seen("two", offset=1, explains=["one"])) == "two"


def test_a_rule_cannot_explain_itself_away() -> None:
    assert winner(seen("one", explains=["one"])) == "one"


def test_what_was_measured_comes_before_texts_and_checks_of_the_output_come_last() -> None:
    order = list(Precedence)
    rule_matches = [seen(precedence.name.lower(), precedence) for precedence in reversed(order)]
    while rule_matches:
        assert winner(*rule_matches) == order.pop(0).name.lower()
        rule_matches.pop()


def test_the_experiment_comes_before_what_is_common_wherever_it_stands() -> None:
    own, common = seen("own", offset=9), seen("common", common=True)
    assert winner(common, own) == "own"
    assert reasons(common, own) == {"common": "a common rule comes after one of the experiment: own"}


def test_a_common_text_comes_before_a_missing_marker_of_the_experiment() -> None:
    assert winner(seen("no-end-of-job", Precedence.ABSENT), seen("common", common=True)) == "common"


def test_the_first_in_the_log_is_elected_and_stderr_is_read_first() -> None:
    assert winner(seen("late", offset=9), seen("early", offset=1)) == "early"
    assert winner(seen("out", stream="stdout"), seen("err", offset=9)) == "err"


def test_in_one_line_the_rule_with_the_longer_text_is_elected_whatever_its_name() -> None:
    for names in (("a", "b"), ("b", "a")):
        short, long = seen(names[0]), replace(seen(names[1]), literal=20)
        assert winner(replace(short, literal=4), long) == names[1]
        assert reasons(replace(short, literal=4), long) == {
            names[0]: f"{names[1]} requires the longer text in this place: 20 characters against 4"
        }


def test_of_equal_texts_in_one_line_the_rule_for_fewer_jobs_is_elected() -> None:
    for names in (("a", "b"), ("b", "a")):
        wide, narrow = seen(names[0]), seen(names[1], jobs=["tool"])
        assert winner(wide, narrow) == names[1]
        assert reasons(wide, narrow) == {names[0]: f"{names[1]} is for fewer jobs, and both match in this place"}


def test_a_later_line_never_wins_by_a_longer_text() -> None:
    assert winner(seen("early", offset=1), replace(seen("late", offset=9), literal=20)) == "early"


def test_every_loser_is_told_with_its_reason() -> None:
    rule_matches = [seen("a"), seen("b", offset=1), seen("c", Precedence.EXIT), seen("d", action="note")]
    assert reasons(*rule_matches) == {
        "d": "a note: known to be benign",
        "b": "a comes first",
        "c": "the exit status comes after a text of the log: a",
    }
