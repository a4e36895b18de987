from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from pilotext.classify.cleaning import Block, Splitter
from pilotext.classify.prefilter import selector
from pilotext.classify.prefilter.hyperscan import BlockDatabase, SearchTerm
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
    compile_patterns(chosen, large)
    assert chosen.candidates(large) == [], "the pattern knows better"
    (matching,) = blocks(LINE * 2000 + b"Killed by 9\nSegmentation\n" + LINE)[:1]
    assert chosen.candidates(matching) == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_short_pays_for_no_patterns() -> None:
    chosen = LineSelector(CONDITIONS)
    for block in blocks(LINE * 2000):
        chosen.candidates(block)
    assert chosen._narrow.patterns == set()


def test_a_condition_that_matches_wherever_its_text_is_needs_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector, "PATTERNS_AFTER_BYTES", 1 << 18)
    matches = {0: 0}
    chosen = LineSelector(CONDITIONS, lambda index: matches.get(index, 0))
    (sparse,) = blocks(b"Killed by 9\n" + LINE * 20 + b"a line of something else, as long as most are\n" * 1000)[:1]
    for _ in range(20):
        matches[0] += 1
        assert chosen.candidates(sparse) == [0]
    assert chosen._narrow.patterns == set()
    assert chosen._narrow.everywhere == set()
    (dense,) = blocks(b"Killed by 9\n" * 4000)[:1]
    for _ in range(80):
        matches[0] += 1
        chosen.candidates(dense)
    assert chosen._narrow.patterns == set()
    assert chosen._narrow.everywhere == {0}
    (other,) = blocks(LINE * 2000 + b"Segmentation\n")[:1]
    assert chosen.candidates(other) == [0, 1]


def test_a_text_that_is_a_number_is_searched_with_its_pattern_from_the_beginning() -> None:
    status = Condition(match=r"^(?:.* exited with )?status ?[=: ] ?127$")
    chosen = LineSelector([Condition(match=r"^(?:.* exited with )?rc ?[=: ] ?127$"), status])
    (large,) = blocks(b"momentum 127.5 GeV/c, status= 127 of 128\n" * 2000)[:1]
    assert chosen.candidates(large) == [1], "`status=` is long enough to be searched alone"
    (matching,) = blocks(LINE * 2000 + b"sh exited with rc = 127\n")[:1]
    assert chosen.candidates(matching) == [0]


def test_a_line_with_several_texts_is_tried_once() -> None:
    chosen = LineSelector([Condition(match="(?:Segmentation|Killed) by .*")])
    (block,) = blocks(b"Killed by Segmentation by x\nno\nSegmentation by y\nKilled by z")[:1]
    assert [*chosen.places(block, 0)] == [0, 31]


def test_what_is_in_every_block_is_tried_without_a_search_and_the_rest_is_found_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selector, "PATTERNS_AFTER_BYTES", 1 << 18)
    chosen = LineSelector(CONDITIONS)
    (flood,) = blocks(b"Killed by 9\n" * 4000)[:1]
    compile_patterns(chosen, flood)
    compile_patterns(chosen, flood, everywhere={0})
    assert chosen.candidates(flood) == [0]
    (quiet,) = blocks(LINE * 2000)[:1]
    assert chosen.candidates(quiet) == [0], "too many are allowed"
    (other,) = blocks(LINE * 2000 + b"Segmentation\n")[:1]
    assert chosen.candidates(other) == [0, 1]


def test_conditions_whose_literals_are_rare_are_searched_by_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector, "PATTERNS_AFTER_BYTES", 1 << 18)
    chosen = LineSelector(CONDITIONS)
    (large,) = blocks(LINE * 2000)[:1]
    compile_patterns(chosen, large)
    assert chosen._narrow.patterns == {0}


COMPILE = """
import re
from pathlib import Path
from pilotext.classify.log_reader import conditions_for
from pilotext.classify.prefilter.selector import LineSelector
from pilotext.rules.loader import load_rules

def peak_kb():
    return int(re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0])

watches, _ = conditions_for("stdout", load_rules("COMPASS"), "production", "mass production", strays=False)
chosen = LineSelector([watch.condition for watch in watches])
before = peak_kb()
chosen._texts.compile()
print(len(chosen._terms), peak_kb() - before)
"""


def test_the_texts_of_the_shipped_rules_take_little_memory() -> None:
    """Hyperscan's second engine for short data took 30 MB with them."""
    done = subprocess.run([sys.executable, "-P", "-c", COMPILE], capture_output=True, text=True, check=True)
    terms, grown_kb = map(int, done.stdout.split())
    assert terms > 200
    assert grown_kb < 15_000


def test_the_texts_that_fill_up_a_database_change_nothing_that_it_finds() -> None:
    terms = [SearchTerm(number, None, (f"text {number * 7919:09d} of a rule".encode(),)) for number in range(300)]
    database = BlockDatabase(terms)
    for number in (0, 150, 299):
        assert database.candidates(LINE * 10 + b" ".join(terms[number].texts)) == {number}
    assert database.candidates(LINE * 10) == set()


def compile_patterns(chosen: LineSelector, block: Block, everywhere: Collection[int] = ()) -> None:
    """Feed a block until patterns are compiled, and those that are in every block are known."""
    deadline = time.monotonic() + 60
    while not chosen._narrow.patterns or chosen._narrow.everywhere != {*everywhere}:
        assert time.monotonic() < deadline, chosen._narrow
        chosen.candidates(block)
