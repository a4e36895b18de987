from __future__ import annotations

import csv
import io

import pytest

from pilotext.model import Record
from pilotext.serialization.csv import csv_of

pytestmark = pytest.mark.unit


class Row(Record, frozen=True):
    name: str
    number: float | None = None
    good: bool = True
    parts: tuple[int, ...] = ()
    counts: dict[str, int] | None = None


def read(*rows: Row) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_of(Row, rows))))


def test_a_list_has_its_heads_even_without_rows() -> None:
    assert csv_of(Row, ()) == "name,number,good,parts,counts\n"


def test_cells_are_read_back_as_they_were() -> None:
    (row,) = read(Row('a "b", c', 1.5, parts=(1, 2), counts={"x": 1}))
    assert row == {"name": 'a "b", c', "number": "1.5", "good": "yes", "parts": "[1,2]", "counts": '{"x":1}'}
    assert read(Row("a"))[0]["number"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert not read(Row(text))[0]["name"].lstrip().startswith(("=", "+", "-", "@"))


def test_negative_numbers_stay_numbers() -> None:
    assert read(Row("a", -1.5))[0]["number"] == "-1.5"


def test_a_text_is_one_line_of_printable_characters() -> None:
    assert read(Row("a\nb\x1b\u202e"))[0]["name"] == "a\\nb\\x1b\\u202e"
