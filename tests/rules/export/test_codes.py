from __future__ import annotations

import csv
import json

import pytest

from pilotext.profile import find_rules_root
from pilotext.rules.export.codes import COLUMNS, as_csv, as_json, as_markdown, code_rows
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet


@pytest.fixture(scope="module")
def compass() -> RuleSet:
    return load_rules("COMPASS")


def test_the_page_of_codes_is_up_to_date(compass: RuleSet) -> None:
    page = find_rules_root().parent / "docs" / "codes.md"
    assert page.read_text() == as_markdown(compass), "see the head of the page for the command that makes it"


def test_every_rule_has_a_row_in_the_order_of_the_numbers(compass: RuleSet) -> None:
    rows = code_rows(compass)
    assert {row["id"] for row in rows} == {rule.id for rule in compass.rules}
    assert [row["number"] for row in rows] == sorted({rule.code.number for rule in compass.rules})


def test_both_forms_for_programs_say_the_same(compass: RuleSet) -> None:
    rows = json.loads(as_json(compass))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == [
        *csv.DictReader(as_csv(compass).splitlines())
    ]
    assert tuple(rows[0]) == COLUMNS
