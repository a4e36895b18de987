"""A log as lines: its slices, the true numbers of its lines, a search."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotext.server.boot import boot

boot()

from pilotext.model.log_index import Member, Part  # noqa: E402  needs boot
from pilotext.server.production.storage import log_text  # noqa: E402
from pilotext.server.production.storage.log_cache import CachedLog, LogUnavailableError  # noqa: E402
from pilotext.server.production.storage.log_text import LogText, SearchError  # noqa: E402
from pilotext.worker.excerpt import ExcerptPlace, gap_note, parts_of  # noqa: E402

pytestmark = pytest.mark.unit


def log_of(folder: Path, data: bytes, parts: tuple[Part, ...] | None = None) -> LogText:
    path = folder / "log"
    path.write_bytes(data)
    index = None if parts is None else Member("log", 0, len(data), 0, "", parts)
    return LogText(CachedLog("log", path, len(data), index))


def lines_of(data: bytes) -> list[bytes]:
    lines = re.split(rb"\r\n|\r|\n", data)
    return lines if lines[-1] else lines[:-1]


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n", b"a\r\nb\rc\n\nd", b"\r\n\r\n", b"a\r"])
def test_lines_end_as_the_classifier_counts_them(tmp_path: Path, data: bytes) -> None:
    log = log_of(tmp_path, data)
    assert log.lines == len(lines_of(data))
    assert [line.text.encode() for line in log.slice(0)] == lines_of(data)
    assert [line.number for line in log.slice(0)] == list(range(1, log.lines + 1))


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n"]), max_size=40), step=st.integers(1, 9))
def test_places_and_slices_agree_with_the_lines_wherever_the_remembered_places_are(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], step: int
) -> None:
    data = b"".join(pieces)
    before, log_text.STEP_BYTES = log_text.STEP_BYTES, step
    try:
        log = log_of(tmp_path_factory.mktemp("log"), data)
        expected = lines_of(data)
        assert log.lines == len(expected)
        for place in range(len(expected)):
            line = log.slice(place, 1)[0]
            assert line.text.encode() == expected[place]
            assert log.place_of(line.at) == place
            assert log.place_of_line(place + 1) == place
    finally:
        log_text.STEP_BYTES = before


def test_a_slice_begins_anywhere_and_ends_with_the_log(tmp_path: Path) -> None:
    log = log_of(tmp_path, b"".join(b"line %d\n" % number for number in range(1, 2001)))
    assert [line.text for line in log.slice(1998)] == ["line 1999", "line 2000"]
    assert len(log.slice(0)) == log_text.MAX_LINES
    assert log.slice(2000) == []
    assert log.slice(-5, 1)[0].number == 1
    assert log.place_of(10**12) == 2000


def test_a_line_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    (line,) = log_of(tmp_path, b"x" * 5000).slice(0)
    assert (len(line.text), line.cut) == (2000, 3000)


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    (line,) = log_of(tmp_path, b"\xff\xfe caf\xc3\xa9").slice(0)
    assert line.text == "\ufffd\ufffd caf\xe9"


def excerpt(tmp_path: Path) -> tuple[LogText, list[bytes]]:
    """A log of 3000 lines of which a quarter is in the archive, around line 1500 too."""
    lines = [b"line %d of the log, which is long" % number for number in range(1, 3001)]
    whole = b"\n".join(lines) + b"\n"
    offset = whole.index(b"line 1500 ")
    parts = list(parts_of(len(whole), len(whole) // 4, [ExcerptPlace(offset, 1500)]))
    assert len(parts) == 3
    middle = parts[1]
    first_line = whole[: middle.start].count(b"\n") + 1
    parts[1] = Part(middle.start, middle.end, middle.at, first_line)
    data, before = b"", 0
    for part in parts:
        data += gap_note(before, part.start) + whole[part.start : part.end]
        before = part.end
    return log_of(tmp_path, data, tuple(parts)), lines


def test_an_excerpt_has_the_numbers_of_the_whole_log(tmp_path: Path) -> None:
    log, lines = excerpt(tmp_path)
    place = log.place_of_line(1500)
    assert place is not None
    (line,) = log.slice(place, 1)
    assert (line.number, line.text.encode()) == (1500, lines[1499])
    numbered = [line for line in log.slice(0, 10_000) if line.number is not None]
    inner = [line for line in numbered if line.text.startswith("line ") and line.text.endswith(" long")]
    assert len(inner) > 200
    assert all(line.text.encode() == lines[(line.number or 0) - 1] for line in inner)


def test_the_note_of_a_gap_and_a_part_of_unknown_lines_have_no_numbers(tmp_path: Path) -> None:
    log, _ = excerpt(tmp_path)
    every = log.slice(0, 10_000)
    assert {line.number for line in every if line.text.startswith("[pilotext: bytes ")} == {None}
    assert every[-1].number is None  # the end of the log, whose number nobody knows


@pytest.mark.parametrize("number", [0, 700, 2999, 3001, 10**9])
def test_a_line_that_is_not_there_has_no_place(tmp_path: Path, number: int) -> None:
    assert excerpt(tmp_path)[0].place_of_line(number) is None


def test_a_search_finds_each_line_once_in_any_case(tmp_path: Path) -> None:
    log = log_of(tmp_path, b"fatal FATAL\nfine\nA Fatal (x) error\n")
    assert [line.number for line in log.search("fatal")] == [1, 3]
    assert [line.number for line in log.search("(x)")] == [3]
    assert [line.number for line in log.search(r"^f\w+e$", pattern=True)] == [2]
    assert log.search("nothing") == []


def test_a_search_ends_after_enough_hits(tmp_path: Path) -> None:
    assert len(log_of(tmp_path, b"hit\n" * 5000).search("hit")) == log_text.MAX_HITS + 1


@pytest.mark.parametrize("pattern", ["(", "[a", "x" * 201, "a{99999999999999999999}"])
def test_what_is_no_pattern_is_refused_in_words(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SearchError, match=r"pattern|longer"):
        log_of(tmp_path, b"a").search(pattern, pattern=True)


def test_a_pattern_that_needs_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_text, "SEARCH_WITHIN_S", 0.05)
    with pytest.raises(SearchError, match="needs longer"):
        log_of(tmp_path, b"a" * 3000 + b"!").search(r"(?:a|aa)+(?:a|aa)+$", pattern=True)


def test_a_file_that_has_left_the_cache_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailableError, match="left the cache"):
        LogText(CachedLog("log", tmp_path / "gone", 5, None))
