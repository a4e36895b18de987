"""For which software a rule is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify import classify_files
from tests.classify.inline import WELL, logs, rule, ruleset

OLD = rule("old-bug", contains="boom", versions=["r12*", "r13.0"])


@pytest.mark.parametrize(("software", "expected"), [("r12.4", "old-bug"), ("r13.0", "old-bug"), ("r14", None)])
def test_a_rule_for_versions_is_for_no_other(tmp_path: Path, software: str, expected: str | None) -> None:
    assert judged(tmp_path, software) == expected


def test_where_the_version_is_not_known_every_rule_may_be_right(tmp_path: Path) -> None:
    assert judged(tmp_path, "") == "old-bug"


def judged(folder: Path, software: str) -> str | None:
    streams = logs(folder, stderr="boom\n")
    found = classify_files(
        ruleset(OLD), kind="reconstruction", job_type="coral", streams=streams, exit=WELL, software=software
    )
    return found.rule
