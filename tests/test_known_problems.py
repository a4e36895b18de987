"""docs/known-problems.md: each problem has an entry, and each entry has tests that say the same of themselves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = range(1, 32)
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
SAID = re.compile(r"Known problem (\d+) of the legacy system\b")

LISTED = {
    int(number): {*re.findall(r"`([^`]+::\w+)`", tests)}
    for number, _, _, tests in ROW.findall((ROOT / "docs/known-problems.md").read_text())
}


def said_by_tests(folder: Path) -> dict[int, set[str]]:
    """For each problem the tests whose docstrings name it."""
    found: dict[int, set[str]] = {}
    for path in folder.rglob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for number in SAID.findall(ast.get_docstring(node) or ""):
                    found.setdefault(int(number), set()).add(f"{path.relative_to(ROOT)}::{node.name}")
    return found


SAYING = said_by_tests(ROOT / "tests")


def test_every_problem_has_one_entry() -> None:
    assert list(LISTED) == list(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_entry_names_tests_that_are_there_and_say_so_themselves(number: int) -> None:
    assert LISTED[number]
    assert LISTED[number] <= SAYING[number]


def test_no_test_speaks_of_a_problem_that_is_not_listed() -> None:
    assert SAYING.keys() == LISTED.keys()
