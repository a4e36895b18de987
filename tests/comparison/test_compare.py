from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pilotext.comparison.compare import compare
from pilotext.comparison.contents import Contents, read_contents
from pilotext.comparison.records import Finding, Tolerances
from tests.comparison.files import EVENTS, write_file

LOOSE = Tolerances(entries=0.1)


def found(old: Contents, new: Contents, tolerances: Tolerances = LOOSE) -> dict[str, Finding]:
    return {each.name: each.finding for each in compare(old, new, tolerances).objects}


@pytest.fixture
def old(tmp_path: Path) -> Contents:
    return read_contents([write_file(tmp_path / "old.root")])


def test_the_same_events_agree_in_everything(old: Contents) -> None:
    result = compare(old, old, Tolerances())
    assert result.agrees
    assert {each.name for each in result.objects} == {"phast", "plots/mass", "vertex_xy"}


def test_another_sample_of_the_same_distribution_agrees(old: Contents, tmp_path: Path) -> None:
    assert compare(old, read_contents([write_file(tmp_path / "new.root", seed=2)]), LOOSE).agrees


@pytest.mark.parametrize("test", ["chi2", "ks"])
def test_a_shifted_mass_differs_and_nothing_else_does(old: Contents, tmp_path: Path, test: str) -> None:
    new = read_contents([write_file(tmp_path / "new.root", shift=0.02)])
    result = compare(old, new, Tolerances(test, entries=0.1))  # type: ignore[arg-type]
    assert not result.agrees
    assert [each.name for each in result.objects if each.finding == "differs"] == ["plots/mass"]
    (mass,) = [each for each in result.objects if each.finding == "differs"]
    assert mass.p_value is not None
    assert mass.p_value < 0.001
    assert "by chance" in mass.why


def test_fewer_entries_differ_unless_that_many_may(old: Contents, tmp_path: Path) -> None:
    new = read_contents([write_file(tmp_path / "new.root", seed=2, events=EVENTS - 40)])
    assert found(old, new, Tolerances())["phast"] == "differs"
    assert found(old, new, Tolerances(entries=0.005))["phast"] == "differs"
    assert found(old, new, Tolerances(entries=0.02)) == {"phast": "same", "plots/mass": "same", "vertex_xy": "same"}


def test_an_object_of_one_side_alone_is_named_with_its_side(old: Contents, tmp_path: Path) -> None:
    new = read_contents([write_file(tmp_path / "new.root", further=np.histogram([0.5], bins=4, range=(0, 1)))])
    assert found(old, new)["further"] == "only in new"
    assert found(new, old)["further"] == "only in old"
    assert not compare(old, new, LOOSE).agrees


def test_other_bins_differ(old: Contents, tmp_path: Path) -> None:
    result = compare(old, read_contents([write_file(tmp_path / "new.root", bins=51)]), LOOSE)
    (mass,) = [each for each in result.objects if each.name == "plots/mass"]
    assert (mass.finding, mass.why) == ("differs", "its bins are others")


def test_bins_that_hold_no_number_differ_from_those_that_do(old: Contents, tmp_path: Path) -> None:
    new = read_contents([write_file(tmp_path / "new.root")])
    new.histograms["plots/mass"].values[7] = np.nan
    assert found(old, new)["plots/mass"] == "differs"
    assert found(new, new)["plots/mass"] == "same"


def test_a_plane_is_not_compared_by_a_test_for_one_axis_and_says_so(old: Contents, tmp_path: Path) -> None:
    new = read_contents([write_file(tmp_path / "new.root", seed=2)])
    result = compare(old, new, Tolerances("ks", entries=0.1))
    (plane,) = [each for each in result.objects if each.name == "vertex_xy"]
    assert plane.finding == "not compared"
    assert "several axes" in plane.why
    assert result.agrees
