"""Which parts of a log are kept."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.cleaning import Splitter
from pilotext.worker.excerpt import ExcerptPlace, gap_note, lines_in, parts_of

OFFSETS = st.lists(st.integers(0, 10**7 - 1), max_size=30)


def test_a_log_that_fits_is_kept_whole() -> None:
    (part,) = parts_of(1000, 1000, [ExcerptPlace(10, 2)])
    assert (part.start, part.end, part.at, part.first_line) == (0, 1000, 0, 1)


def test_an_empty_log_has_no_parts() -> None:
    assert parts_of(0, 1000, []) == ()


def test_begin_end_and_the_evidence_of_a_long_log_are_kept() -> None:
    parts = parts_of(10**9, 10**6, [ExcerptPlace(500_000_000, 7)])
    assert [(part.start, part.end) for part in parts] == [
        (0, 250_000),
        (499_967_232, 500_032_768),
        (999_500_000, 10**9),
    ]
    assert parts[1].at == 250_000 + len(gap_note(250_000, 499_967_232))


@given(st.integers(0, 10**7), st.integers(10_000, 10**6), OFFSETS)
def test_the_parts_are_in_order_never_overlap_and_never_take_more_than_the_room(
    size: int, room: int, offsets: list[int]
) -> None:
    parts = parts_of(size, room, [ExcerptPlace(min(offset, size), 1) for offset in offsets])
    assert sum(part.end - part.start for part in parts) <= max(room, 0)
    assert all(one.end < two.start for one, two in pairwise(parts))
    if parts:
        assert (parts[0].start, parts[-1].end) == (0, size)
    assert (not parts) == (size == 0)


@given(st.integers(2 * 10**6, 10**7), st.integers(200_000, 10**6), st.lists(st.integers(0, 10**6), max_size=30))
def test_every_place_is_kept_while_there_is_room(size: int, room: int, offsets: list[int]) -> None:
    parts = parts_of(size, room, [ExcerptPlace(offset, 1) for offset in offsets])
    assert all(any(part.start <= offset < part.end for part in parts) for offset in offsets)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [([b""], 0), ([b"a\nb"], 1), ([b"a\r", b"\nb\r"], 2), ([b"a\r", b"", b"\n"], 1), ([b"\r", b"\r\n"], 2)],
)
def test_lines_end_as_the_classifier_ends_them(pieces: list[bytes], lines: int) -> None:
    assert lines_in(pieces) == lines


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\r", b"\n", b"\r\n"])))
def test_lines_are_counted_as_the_classifier_counts_them(pieces: list[bytes]) -> None:
    splitter = Splitter()
    blocks = [block for piece in [*pieces, b"\n"] for block in splitter.feed(piece)]
    blocks += splitter.close()
    assert lines_in([*pieces, b"\n"]) == (blocks[-1].end - 1 if blocks else 0)
