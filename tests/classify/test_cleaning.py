from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.cleaning import MAX_LINE_BYTES, Line, Splitter
from pilotext.classify.prefilter.hyperscan import MIN_HYPERSCAN_BYTES

LOG_BYTES = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\r", b"\r\n", b"\x07", b"\x1b[31m", b"\x1b]0;t\x07", b"\x1b", b"\xe9", "é".encode()]),
        st.binary(max_size=6),
        st.integers(MAX_LINE_BYTES - 2, MAX_LINE_BYTES + 2).map(lambda size: b"x" * size),
    ),
    max_size=12,
).map(b"".join)


def lines_of(*chunks: bytes) -> list[Line]:
    splitter = Splitter()
    blocks = [block for chunk in chunks for block in splitter.feed(chunk)] + splitter.close()
    return [block.line(number) for block in blocks for number in range(block.number, block.end)]


def texts_of(*chunks: bytes) -> list[str]:
    return [line.text for line in lines_of(*chunks)]


@given(LOG_BYTES, st.data())
def test_the_cut_into_chunks_never_changes_a_line(log: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=6)))
    chunks = [log[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    assert lines_of(*chunks) == lines_of(log)


@given(LOG_BYTES)
def test_numbers_and_offsets_are_those_of_the_original_bytes(log: bytes) -> None:
    starts = [0, *(found.end() for found in re.finditer(rb"\r\n|\r|\n", log))]
    if starts[-1] == len(log):
        starts.pop()
    assert [(line.number, line.offset) for line in lines_of(log)] == list(enumerate(starts, start=1))


@given(LOG_BYTES)
def test_no_control_character_but_tab_is_left(log: bytes) -> None:
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", "".join(texts_of(log)))


def test_a_bell_inside_a_message_is_dropped_and_a_tab_is_kept() -> None:
    assert texts_of(b"TLattice:\x07 Cannot\tAllocate\n") == ["TLattice: Cannot Allocate"]


def test_colours_and_window_titles_are_dropped() -> None:
    assert texts_of(b"\x1b]0;title\x07\x1b[1;31mError\x1b[0m: \x1b(Bno\n") == ["Error: no"]


def test_an_escape_that_never_ends_hides_nothing_behind_it() -> None:
    assert texts_of(b"\x1b]0;FATAL\nnext\n") == ["0;FATAL", "next"]


def test_a_progress_bar_is_many_lines() -> None:
    assert texts_of(b"10%\r20%\r\n30%\r") == ["10%", "20%", "30%"]


def test_bytes_that_are_not_utf8_are_shown_as_numbers() -> None:
    assert texts_of("détecteur ".encode() + b"caf\xe9\n") == ["détecteur caf\\xe9"]


PIECES = [
    b"caf\xe9 ",
    "détecteur ".encode(),
    b"\r\n",
    b"\r",
    b"\n",
    b"\t",
    b"\x1b[31m",
    b"\x07",
    b"\xe2\x82",
    b"\xc2",
    b"\xfd\xfc\xfb\xfa",
    b"\0\x01\x02\x7f",
    b"plain ",
    b"plain " * 100,
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), st.lists(st.sampled_from(PIECES), max_size=6))
def test_large_blocks_are_cleaned_like_small_ones(often: list[bytes], once: list[bytes]) -> None:
    """Of large blocks hyperscan says first what need not be replaced."""
    piece = b"".join(often) + b"\n"
    log = piece * (MIN_HYPERSCAN_BYTES // len(piece) + 1) + b"".join(once) + b"\n"
    by_line = [texts_of(line) for line in re.split(rb"(?<=\n)|(?<=\r)(?!\n)", log) if line]
    assert texts_of(log) == [text for (text,) in by_line]


def test_a_long_line_keeps_head_and_tail_and_says_what_is_cut() -> None:
    (line, after) = lines_of(b"head" + b"." * 100_000, b"." * 100_000 + b"tail\nnext\n")
    assert line.text.startswith("head.")
    assert line.text.endswith(".tail")
    assert f"[... {200_008 - MAX_LINE_BYTES} bytes cut ...]" in line.text
    assert (after.number, after.offset, after.text) == (2, 200_009, "next")


def test_a_line_of_just_the_limit_is_whole() -> None:
    assert texts_of(b"x" * MAX_LINE_BYTES + b"\n") == ["x" * MAX_LINE_BYTES]


def test_a_line_without_end_stays_small_in_memory() -> None:
    splitter = Splitter()
    for _ in range(200):
        assert splitter.feed(b"\0" * MAX_LINE_BYTES) == []
    (block,) = splitter.close()
    assert len(block.raw) < MAX_LINE_BYTES + 100
