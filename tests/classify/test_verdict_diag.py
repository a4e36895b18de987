from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.rule_match import Precedence, RuleMatch
from pilotext.classify.verdict import MAX_DIAG_CHARS, compose, place, sentence
from pilotext.model.verdict import Evidence
from tests.classify.inline import rule


def said(diag: str, **fields: str | int) -> str:
    return sentence(RuleMatch(rule("oom", contains="x", message=diag), Precedence.TEXT, 1, (), fields))


def test_the_key_part_comes_first_and_the_place_last() -> None:
    diag = compose("COMPASS-1241 cannot-allocate", "TLattice could not allocate 1 bytes", "stderr:812")
    assert diag == "COMPASS-1241 cannot-allocate: TLattice could not allocate 1 bytes (stderr:812)"


@given(st.text(), st.text(max_size=300), st.text(max_size=70))
def test_a_diag_is_one_short_line_of_ascii(text: str, key: str, where: str) -> None:
    diag = compose(key, text, where)
    assert len(diag) <= MAX_DIAG_CHARS
    assert diag.isascii()
    assert diag.isprintable()


def test_a_long_sentence_is_cut_and_the_place_stays() -> None:
    diag = compose("COMPASS-1235 fatal-error", "no map " * 100, "stderr:812")
    assert len(diag) == MAX_DIAG_CHARS
    assert diag.startswith("COMPASS-1235 fatal-error: no map")
    assert diag.endswith("... (stderr:812)")


def test_the_sentence_holds_the_fields() -> None:
    assert said("could not allocate {bytes} bytes", bytes="132503040") == "could not allocate 132503040 bytes"


def test_a_sentence_that_lacks_a_field_gives_way_to_the_title() -> None:
    assert said("could not allocate {bytes} bytes") == "title of oom"


def test_fields_of_a_log_are_never_taken_for_templates() -> None:
    assert said("{text}", text="{bytes} {0.__class__}", bytes=1) == "{bytes} {0.__class__}"


def test_the_place_is_the_first_line_that_can_be_opened() -> None:
    evidence = [Evidence("a", "wrapper", 0, 0, "exit status 1"), Evidence("a", "stderr", 812, 9, "x")]
    assert place(evidence) == "stderr:812"
    assert place(evidence[:1]) == ""
