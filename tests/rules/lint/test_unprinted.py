from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.rules.lint.runner import lint
from tests.rules.packs import EXAMPLES, RULE, Pack


def told(folder: Path, pattern: str) -> list[str]:
    path = Pack(folder / "pack").add(f"rules: [{{id: boom, code: 1299, match: '{pattern}', {RULE}, {EXAMPLES}}}]\n")
    return [problem.message for problem in lint([path]) if "is never found" in problem.message]


@pytest.mark.parametrize(
    ("pattern", "what"),
    [(r"Lattice:\x07 boom", r"\x07"), (r"boom\a", r"\a"), (r"boom\r$", r"\r"), (r"\\\x1B", r"\x1B")],
)
def test_a_character_that_no_cleaned_line_holds_is_told(tmp_path: Path, pattern: str, what: str) -> None:
    (message,) = told(tmp_path, pattern)
    assert message.startswith(f"`{what}` is never found")


@pytest.mark.parametrize(
    "pattern", [r"boom\t", r"boom\r?$", r"[^\x00-\x1f]boom", r"boom\\a", r"boom\x20", r"bo\.om", r"[\]\x07]boom"]
)
def test_what_a_line_may_hold_is_not(tmp_path: Path, pattern: str) -> None:
    assert told(tmp_path, pattern) == []
