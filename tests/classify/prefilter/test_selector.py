from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify.cleaning import Block, Splitter
from pilotext.classify.prefilter import selector
from pilotext.classify.prefilter.selector import LineSelector
from pilotext.rules.conditions import Condition

CONDITIONS = [Condition(match=r"^Killed by \d+$"), Condition(contains="Segmentation")]
LINE = b"not Killed by anybody\n"


def blocks(data: bytes) -> list[Block]:
    splitter = Splitter()
    return [*splitter.feed(data), *splitter.close()]


def test_patterns_take_over_from_texts_and_nothing_is_left_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "PILOTEXT_CACHE", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(selector, "PATTERNS_AFTER_BYTES", 1 << 20)
    chosen = LineSelector(CONDITIONS)
    (large,) = blocks(LINE * 2000)[:1]
    assert chosen.candidates(large) == [0], "the text is there, so somebody must look"
    while chosen._patterns is None:
        chosen.candidates(large)
    chosen._patterns.result(timeout=60)
    assert chosen.candidates(large) == [], "the pattern knows better"
    (matching,) = blocks(LINE * 2000 + b"Killed by 9\nSegmentation\n" + LINE)[:1]
    assert chosen.candidates(matching) == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_short_pays_for_no_patterns() -> None:
    chosen = LineSelector(CONDITIONS)
    for block in blocks(LINE * 2000):
        chosen.candidates(block)
    assert chosen._patterns is None
