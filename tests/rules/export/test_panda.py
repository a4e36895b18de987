from __future__ import annotations

import re

import pytest

from pilotext.classify.verdict import compose
from pilotext.rules.export.panda import (
    MAX_DESCRIPTION_CHARS,
    Classification,
    RetryError,
    classifications,
    retry_actions,
    retry_errors,
)
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet


@pytest.fixture(scope="module")
def compass() -> RuleSet:
    return load_rules("COMPASS")


def all_rows(ruleset: RuleSet) -> list[RetryError | Classification]:
    return [*retry_errors(ruleset), *classifications(ruleset)]


def test_a_row_matches_the_diag_that_the_pilot_sends_and_no_other(compass: RuleSet) -> None:
    row = next(row for row in retry_errors(compass) if row.code == 581241)
    assert (row.action, row.parameters) == ("increase_memory", "")
    assert re.match(row.diag, compose("COMPASS-1241 cannot-allocate", "no memory", "stderr:8"), re.DOTALL)
    assert not re.match(row.diag, compose("COMPASS-1241 cannot-allocate-more", "no memory", "stderr:8"), re.DOTALL)


def test_notes_have_no_rows(compass: RuleSet) -> None:
    notes = {rule.code.number for rule in compass.rules if rule.text.action == "note"}
    assert notes
    assert notes.isdisjoint(row.code for row in all_rows(compass))


def test_what_is_the_fault_of_a_site_is_not_counted_against_the_job(compass: RuleSet) -> None:
    classes = {row.code: row.error_class for row in classifications(compass)}
    assert (classes[581249], classes[581235]) == ("system", "user")


def test_every_row_fits_its_columns(compass: RuleSet) -> None:
    for row in all_rows(compass):
        assert row.code <= 9_999_999
        assert len(row.diag.encode()) <= 256
        assert len(row.description.encode()) <= MAX_DESCRIPTION_CHARS


def test_every_action_that_a_row_names_has_a_row_of_its_own(compass: RuleSet) -> None:
    named = {row.action for row in retry_errors(compass)}
    assert {row.action for row in retry_actions(compass)} == named == {"no_retry", "limit_retry", "increase_memory"}
