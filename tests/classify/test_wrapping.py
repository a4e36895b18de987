"""Logs whose lines something broke after 80 columns: what stands on both sides of a break is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.cleaning import Splitter
from pilotext.classify.wrapping import COLUMNS, DECIDED_AFTER_BYTES, MAX_PARTS, Unwrapper
from tests.classify.inline import WELL, counter, rule, ruleset, scan, verdict

BOOM = rule("boom", match=r"^(?:\w+ )+boom at (?<where>\w+)$", stream="stderr")
LONG = "word " * 15 + "boom at sea"
"""Its `boom` is broken after 80 columns."""

LOGS = st.lists(
    st.one_of(
        st.just("x" * COLUMNS),
        st.just(LONG[:COLUMNS]),
        st.sampled_from(["", "=" * COLUMNS, "short", "\x07bell", "\r"]),
    ),
    max_size=12,
).map(lambda lines: "\n".join(lines).encode())


def wrapped(text: str) -> str:
    return "\n".join(text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS))


def unwrapped(*chunks: bytes) -> dict[int, tuple[int, str]]:
    """Offset and text of each line in the joined form that is not empty, by number."""
    splitter, unwrapper = Splitter(), Unwrapper()
    blocks = [block for chunk in chunks for block in splitter.feed(chunk)] + splitter.close()
    joined = [*(unwrapper.feed(block) for block in blocks), unwrapper.close()]
    if not unwrapper.may_be_wrapped:
        return {}
    lines = [block.line(number) for block in joined if block for number in range(block.number, block.end)]
    return {line.number: (line.offset, line.text) for line in lines if line.text}


def test_a_match_across_a_break_is_quoted_whole_with_the_place_of_its_first_part(tmp_path: Path) -> None:
    assert len(LONG) > COLUMNS > LONG.index("boom")
    [match] = verdict(tmp_path, ruleset(BOOM), exit=WELL, stderr=f"one\n{wrapped(LONG)}\nlast\n").evidence
    assert (match.text, match.line, match.offset) == (LONG, 2, len("one\n"))


def test_a_line_in_many_parts_is_joined_also_at_the_end_of_the_log() -> None:
    text = "".join(f"{number:07} " for number in range(100))
    assert unwrapped(wrapped(text).encode()) == {1: (0, text)}


def test_a_log_with_a_longer_line_is_not_wrapped(tmp_path: Path) -> None:
    log = f"{wrapped(LONG)}\n{'x' * (COLUMNS + 1)}\n"
    assert verdict(tmp_path, ruleset(BOOM), exit=WELL, stderr=log).rule is None


def test_a_ruler_is_no_broken_line() -> None:
    assert unwrapped(b"=" * COLUMNS + b"\nError\n" + b"-" * COLUMNS + b"\n") == {}


def test_a_line_of_eighty_by_chance_hides_nothing_behind_it(tmp_path: Path) -> None:
    at_begin = rule("begin", match="^boom at sea$", stream="stderr")
    found = verdict(tmp_path, ruleset(at_begin), exit=WELL, stderr="ab" * (COLUMNS // 2) + "\nboom at sea\n")
    assert found.rule == "begin"
    assert [one.line for one in found.evidence] == [2]


def test_what_is_found_in_the_lines_as_they_are_is_not_counted_twice(tmp_path: Path) -> None:
    anywhere = rule("anywhere", match="boom", stream="stderr")
    [match] = scan(tmp_path, ruleset(anywhere), stderr="ab" * (COLUMNS // 2) + "\nboom\n").rule_matches
    assert (match.count, len(match.evidence)) == (1, 1)


def test_counters_read_the_lines_as_they_are(tmp_path: Path) -> None:
    events = counter("events", r"events: (?<n>\d+)", take="sum")
    log = "ab" * (COLUMNS // 2) + "\nevents: 5\n"
    assert scan(tmp_path, ruleset(events), stdout=log).counters == {"events": 5}


def test_a_first_full_line_behind_a_mebibyte_decides_nothing() -> None:
    before = b"short\n" * (DECIDED_AFTER_BYTES // 6 + 2)
    assert unwrapped(before + wrapped(LONG).encode()) == {}


@pytest.mark.parametrize("parts", [MAX_PARTS - 2, MAX_PARTS + 2, 5 * MAX_PARTS])
def test_a_table_of_full_lines_takes_no_more_than_its_bound(parts: int) -> None:
    log = b"".join(b"%079d\n" % number for number in range(3)) + b"%080d\n" * parts % tuple(range(parts)) + b"end\n"
    assert max(len(text) for _, text in unwrapped(log).values()) <= COLUMNS * MAX_PARTS


@given(LOGS, st.data())
def test_the_cut_into_chunks_changes_no_joined_line(log: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=6)))
    chunks = [log[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    whole, cut = unwrapped(log), unwrapped(*chunks)
    assert cut == {number: line for number, line in whole.items() if number >= min(cut, default=0)}
    assert not whole or cut
