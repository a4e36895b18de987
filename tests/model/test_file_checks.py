from __future__ import annotations

import pytest

from pilotext.model.file_checks import Balances, FileChecks, OutputKind


@pytest.mark.parametrize(("name", "found"), [("a.raw", "date"), ("a.root", "root"), ("a.txt", None)])
def test_the_first_pattern_that_fits_a_name_gives_its_format(name: str, found: str | None) -> None:
    assert FileChecks(formats={"a.raw": "date", "*.r*": "root"}).format_of(name) == found


def test_a_kind_without_counters_is_counted_by_its_own_name() -> None:
    checks = FileChecks(output_kinds={"reco": OutputKind("Tracks", "tree"), "dump": OutputKind(events=("kept",))})
    assert checks.output_kind("reco") == OutputKind("Tracks", "tree", ("reco_entries", "reco_events"))
    assert checks.output_kind("unknown").events == ("unknown_entries", "unknown_events")
    assert checks.output_kind("dump").events == ("kept",)


def test_balances_of_the_kind_and_of_the_type_of_a_job_are_taken_together() -> None:
    checks = FileChecks(balances={"filtering": Balances(hold=("a == b",)), "fast": Balances(("c == d",), ("e == f",))})
    assert checks.balances_of("filtering", "fast", ()) == Balances(("a == b", "c == d"), ("e == f",))
    assert checks.balances_of("fast", "fast", ()) == Balances(("c == d",), ("e == f",))
    assert checks.balances_of("merging", "merging", ("reco",)) == Balances()


def test_a_merge_of_a_profile_without_balances_holds_what_its_inputs_hold() -> None:
    found = FileChecks().balances_of("merging", "merging", ("reco", "reco"))
    assert found.hold == (
        "reco_tree_entries == inputs.tree_entries",
        "merged.reco_events == inputs.reco_events",
        "merged.reco_bytes == inputs.reco_bytes",
    )
    assert found.note == ("reco_histogram_entries == inputs.histogram_entries",)
    assert FileChecks().balances_of("reconstruction", "fast", ("reco",)) == Balances()
