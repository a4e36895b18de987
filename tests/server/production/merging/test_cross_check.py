from __future__ import annotations

from typing import Any, Literal

import pytest
from msgspec.structs import replace

from pilotext.profile.records import CrossCheck
from pilotext.server.production.merging.cross_check import MAX_NAMED, Chunk, Merged, differences

BY_EVENTS = CrossCheck(by="events", catalogue=True)
CHUNKS = [Chunk(f"c{n}", 1000, events=90, processed=90, seen=100, promised=100) for n in range(3)]
MERGED = [Merged("m", 1800, 180), Merged("m.001", 900, 90)]


def test_a_run_that_is_one_whole_has_no_differences() -> None:
    assert differences(BY_EVENTS, CHUNKS, MERGED) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": 89}, "the merged files hold 270 events, the chunks 269."),
        ({"processed": 91}, "the merged files hold 270 events, the payloads, as processed, 271."),
        ({"processed": None}, "how many events were processed for c0 is not known."),
        ({"seen": 99}, "for c0 99 events were seen, the catalogue promises 100."),
        ({"seen": None}, "how many events were seen for c0 is not known; the catalogue promises 100."),
    ],
)
def test_a_wrong_or_unknown_number_of_one_chunk_is_told(change: dict[str, Any], said: str) -> None:
    chunks = [replace(CHUNKS[0], **change), *CHUNKS[1:]]
    assert differences(BY_EVENTS, chunks, MERGED) == [said]


@pytest.mark.parametrize("by", ["events", "entries", "size"])
def test_a_file_that_nobody_counted_is_told_with_the_cause_in_the_profile(
    by: Literal["events", "entries", "size"],
) -> None:
    chunks = [replace(CHUNKS[0], events=None), *CHUNKS[1:]]
    merged = [Merged("m", 3000, 270)]
    uncounted, remedy = differences(CrossCheck(by=by), chunks, merged)
    assert uncounted == "the content of c0 was not counted."
    assert "take `check` out of the merge in the profile, or give the outputs a `check`" in remedy


def test_of_many_files_that_nobody_counted_some_are_named() -> None:
    chunks = [Chunk(f"c{n}", 10, events=None) for n in range(MAX_NAMED + 5)]
    found = differences(CrossCheck(by="events"), chunks, MERGED)
    assert len(found) == MAX_NAMED + 2
    assert "the content of 5 more files was not counted." in found


def test_files_of_any_kind_are_compared_by_their_bytes_alone() -> None:
    rule = CrossCheck(by="bytes")
    chunks = [Chunk(f"c{n}", 1000, events=None) for n in range(3)]
    assert differences(rule, chunks, [Merged("m", 3000, None)]) == []
    assert differences(rule, chunks, [Merged("m", 2900, None)]) == [
        "the merged files hold 2900 bytes, the chunks 3000."
    ]


def test_a_comparison_of_bytes_still_believes_the_catalogue() -> None:
    chunk = Chunk("c", 1000, events=None, seen=99, promised=100)
    (found,) = differences(CrossCheck(by="bytes", catalogue=True), [chunk], [Merged("m", 1000, None)])
    assert "99 events were seen, the catalogue promises 100" in found


def test_a_catalogue_that_does_not_know_a_file_promises_nothing() -> None:
    assert differences(BY_EVENTS, [replace(each, promised=None, seen=None) for each in CHUNKS], MERGED) == []


def test_no_events_on_both_sides_are_no_agreement() -> None:
    """Known problem 10 of the legacy system: 0 == 0 passed."""
    empty = [replace(each, events=0, processed=0, seen=0, promised=None) for each in CHUNKS]
    found = differences(BY_EVENTS, empty, [Merged("m", 1800, 0)])
    assert "the merged files hold no events at all." in found


def test_a_single_chunk_without_events_is_told() -> None:
    chunks = [*CHUNKS, Chunk("c3", 1000, events=0, processed=0, seen=0)]
    assert differences(BY_EVENTS, chunks, MERGED) == ["c3 holds no events."]


def test_nothing_merged_is_no_agreement() -> None:
    assert differences(BY_EVENTS, [], []) != []
    assert differences(BY_EVENTS, CHUNKS, []) != []


def test_a_payload_that_selects_events_may_write_fewer_but_not_more() -> None:
    rule = CrossCheck(by="events", selected=True)
    assert differences(rule, [replace(each, processed=200) for each in CHUNKS], MERGED) == []
    assert differences(rule, [replace(each, processed=80) for each in CHUNKS], MERGED) != []


def test_dumps_are_compared_over_all_merged_files_and_not_the_last_one() -> None:
    """Known problem 9 of the legacy system: only the last merged file of a run was compared."""
    rule = CrossCheck(by="size")
    chunks = [Chunk(f"d{n}", 1000, events=5) for n in range(3)]
    whole = [Merged("a", 2000, 10), Merged("a.001", 1000, 5)]
    assert differences(rule, chunks, whole) == []
    assert differences(rule, chunks, [Merged("a", 1900, 10), whole[1]]) == [
        "the merged files hold 2900 bytes, the chunks 3000."
    ]
    assert differences(rule, chunks, [Merged("a", 2000, 9), whole[1]]) == [
        "the merged files hold 14 events, the chunks 15."
    ]


def test_histograms_are_compared_by_their_entries() -> None:
    rule = CrossCheck(by="entries")
    assert differences(rule, CHUNKS, MERGED) == []
    assert differences(rule, CHUNKS, MERGED[:1]) == ["the merged files hold 180 events, the chunks 270."]
