"""Lines of good jobs on which no rule may decide, in either stream of three kinds of jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify import LogScan
from pilotext.rules.loader import load_rules

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "good_lines"
FILES = sorted(FOLDER.glob("*.txt"))
ENOUGH = 300


def test_there_are_enough_lines() -> None:
    lines = [line for path in FILES for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len({*lines}) >= ENOUGH


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(
    ("job_type", "kind"), [("shell", "tool"), ("coral", "reconstruction"), ("DDD filtering", "decoding")]
)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_rule_takes_a_benign_line(path: Path, job_type: str, kind: str, stream: str) -> None:
    scan = LogScan(load_rules("COMPASS"), kind=kind, job_type=job_type, streams={stream: path})
    taken = {
        one.rule.id: [evidence.text for evidence in one.evidence]
        for one in scan.finish().rule_matches
        if one.rule.text.action != "note" and one.rule.text.status == "active"
    }
    assert taken == {}
