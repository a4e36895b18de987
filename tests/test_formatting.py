"""Words with numbers."""

from __future__ import annotations

import pytest

from pilotext.formatting import THIN_SPACE, counted_words, noun_for, these_words, verb_for


@pytest.mark.parametrize(
    ("number", "noun", "verb", "words"),
    [
        (0, "job", "waits", "0 jobs wait"),
        (1, "job", "waits", "1 job waits"),
        (2, "job", "waits", "2 jobs wait"),
        (1, "product of runs", "is", "1 product of runs is"),
        (2, "product of runs", "is", "2 products of runs are"),
        (3, "name", "", "3 names"),
        (12345, "agent", "has", "12345 agents have"),
    ],
)
def test_a_number_chooses_the_form_of_its_noun_and_verb(number: int, noun: str, verb: str, words: str) -> None:
    assert counted_words(number, noun, verb) == words


def test_only_pages_part_thousands() -> None:
    assert counted_words(12345, "job", group=THIN_SPACE) == f"12{THIN_SPACE}345 jobs"
    assert counted_words(345, "job", group=THIN_SPACE) == "345 jobs"


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("try", "tries"),
        ("entry", "entries"),
        ("day", "days"),
        ("process", "processes"),
        ("batch", "batches"),
        ("file of run 5", "files of run 5"),
    ],
)
def test_a_noun_in_its_forms(noun: str, many: str) -> None:
    assert (noun_for(1, noun), noun_for(2, noun)) == (noun, many)


@pytest.mark.parametrize(("verb", "many"), [("is", "are"), ("was", "were"), ("has", "have"), ("belongs", "belong")])
def test_a_verb_in_its_forms(verb: str, many: str) -> None:
    assert (verb_for(1, verb), verb_for(0, verb)) == (verb, many)


def test_one_thing_is_named_without_its_number() -> None:
    assert these_words(1, "agent") == "this agent"
    assert these_words(2, "agent") == "these 2 agents"
