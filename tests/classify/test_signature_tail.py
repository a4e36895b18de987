from __future__ import annotations

from pathlib import Path

from pilotext.classify.signature import telling_tail
from tests.classify.inline import counter, rule, ruleset, scan

RULES = ruleset(
    rule("chatter", match="^disconnected from DB", action="note"),
    rule("reason", contains="fire"),
    counter("events", r"^Event: (?<n>\d+)"),
)


def telling(folder: Path, **streams: str) -> tuple[str, list[str]]:
    stream, lines = telling_tail(RULES, scan(folder, RULES, **streams))
    return stream, [line.text for line in lines]


def test_what_is_known_to_be_benign_and_what_is_only_counted_is_left_out(tmp_path: Path) -> None:
    found = telling(tmp_path, stderr="odd thing\n-----\n\ndisconnected from DB runlb\n", stdout="Event: 5\n")
    assert found == ("stderr", ["odd thing"])


def test_where_stderr_says_nothing_of_its_own_stdout_is_taken(tmp_path: Path) -> None:
    found = telling(tmp_path, stderr="disconnected from DB runlb\n", stdout="odd thing\nEvent: 5\nEvent: 10\n")
    assert found == ("stdout", ["odd thing"])


def test_where_nothing_else_is_there_the_benign_end_is_taken(tmp_path: Path) -> None:
    found = telling(tmp_path, stderr="\ndisconnected from DB runlb\n\n", stdout="Event: 5\n")
    assert found == ("stderr", ["disconnected from DB runlb"])


def test_without_a_line_there_is_no_tail(tmp_path: Path) -> None:
    assert telling(tmp_path, stderr="\n\n", stdout="") == ("", [])


def test_the_text_of_a_failure_is_not_left_out(tmp_path: Path) -> None:
    assert telling(tmp_path, stderr="fire\n", stdout="") == ("stderr", ["fire"])
