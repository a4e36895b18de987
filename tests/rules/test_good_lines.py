"""Lines of good jobs on which no rule may decide, in either stream of three kinds of jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pilotext.cli.rules.test import taken_lines
from pilotext.rules.loader import load_rules
from tests.classify.inline import rule, ruleset

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "good_lines"
FILES = sorted(FOLDER.glob("*.txt"))
ENOUGH = 300


def test_there_are_enough_lines() -> None:
    lines = [line for path in FILES for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len({*lines}) >= ENOUGH


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_rule_takes_a_benign_line(path: Path) -> None:
    assert [str(problem) for problem in taken_lines(path, load_rules("COMPASS"))] == []


def test_a_rule_that_takes_one_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("# good lines\nno error at all\n")
    rules = replace(ruleset(rule("error", contains="error", stream="stderr")), kinds={"shell": "tool"})
    [problem, *_] = taken_lines(path, rules)
    assert (problem.file, problem.line, problem.rule) == (path.resolve(), 2, "error")
    assert problem.message == "the rule takes a line of a good tool job on stdout for a failure."
