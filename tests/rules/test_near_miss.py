from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify.explain import lines_of
from pilotext.rules.conditions import Condition
from pilotext.rules.near_miss import NearMiss, near_miss

LATTICE = Condition(match=r"TLattice: *Cannot Allocate (?<bytes>\d+) Bytes")


def near(folder: Path, condition: Condition, text: str | bytes) -> NearMiss | None:
    path = folder / "log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return near_miss(condition, lines_of(path))


def test_a_line_that_fits_is_found_with_its_number(tmp_path: Path) -> None:
    found = near(tmp_path, LATTICE, "a\r\nb\rc\nTLattice:\a Cannot Allocate 12 Bytes\n")
    assert found is not None
    assert (found.line, found.found) == (4, True)


@pytest.mark.parametrize(
    ("line", "fulfilled", "failed"),
    [
        ("** TLattice: Cannot Open 12 Bytes", "TLattice: *Cannot ", r"Allocate (?<bytes>\d+) Bytes"),
        ("TLattice: Cannot Allocate many Bytes", "TLattice: *Cannot Allocate ", r"(?<bytes>\d+) Bytes"),
        ("TLattice: Cannot Allocate 12 bytes", r"TLattice: *Cannot Allocate (?<bytes>\d+) ", "Bytes"),
    ],
)
def test_the_nearest_line_tells_where_the_pattern_fails(tmp_path: Path, line: str, fulfilled: str, failed: str) -> None:
    found = near(tmp_path, LATTICE, f"TLattice: ready\n{line}\nTLattice: Can\n")
    assert found is not None
    assert (found.line, found.fulfilled, found.failed, found.found) == (2, fulfilled, failed, False)


def test_a_line_with_the_words_is_near_although_the_pattern_fails_at_its_begin(tmp_path: Path) -> None:
    found = near(tmp_path, LATTICE, "Lattice: Cannot Allocate 12 Bytes\n")
    assert found is not None
    assert (found.fulfilled, found.missing) == ("", ("TLattice",))


@pytest.mark.parametrize("text", ["", "Event: 5\nEvent: 6\n", b"\xff\x00\xfe"])
def test_a_log_of_other_things_has_no_line_that_is_near(tmp_path: Path, text: str | bytes) -> None:
    assert near(tmp_path, LATTICE, text) is None


def test_a_pattern_of_several_lines_is_held_against_several(tmp_path: Path) -> None:
    found = near(tmp_path, Condition(match="^Exception:\n(?<what>.+)$", lines=2), "a\nException:\nbad seed\n")
    assert found is not None
    assert (found.line, found.found) == (2, True)


def test_a_literal_is_near_by_its_begin(tmp_path: Path) -> None:
    found = near(tmp_path, Condition(contains="A FATAL (ERROR)"), "A FATAL (WARNING)\n")
    assert found is not None
    assert (found.fulfilled, found.failed) == ("A FATAL (", "ERROR)")


def test_a_line_without_an_end_is_one_line_wherever_it_is_cut(tmp_path: Path) -> None:
    found = near(tmp_path, LATTICE, "x" * 200_000 + "\nTLattice: Cannot Allocate 1 Bytes")
    assert found is not None
    assert found.line == 2


def test_a_pattern_that_is_slow_costs_its_time_once(tmp_path: Path) -> None:
    slow = Condition(match="Event: (t|tt)+$")
    found = near(tmp_path, slow, "Event: 5\n" + f"Event: {'t' * 5000}!\n" * 1000)
    assert found is not None
    assert found.line == 1


@pytest.mark.parametrize("condition", [Condition(match="^disk (?<n>\\d+) is FULL$"), Condition(contains="is FULL")])
def test_a_line_that_differs_only_in_case_says_so(tmp_path: Path, condition: Condition) -> None:
    found = near(tmp_path, condition, "a\nDisk 7 is Full\n")
    assert found is not None
    assert (found.line, found.hint) == (2, "it differs only in case")
    assert found.clause.startswith("it differs only in case")


def test_a_pattern_over_two_lines_says_how_many_it_needs(tmp_path: Path) -> None:
    found = near(tmp_path, Condition(match=r"^Exception:\n(?<what>.+)$"), "a\nException:\nbad seed\n")
    assert found is not None
    assert (found.line, found.hint) == (2, "it needs `lines: 2`")
