from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pilotext.comparison.contents import read_contents
from pilotext.errors import FormatError
from tests.comparison.files import EVENTS, write_file


def test_a_file_has_its_tree_and_histograms_with_those_of_inner_folders(tmp_path: Path) -> None:
    found = read_contents([write_file(tmp_path / "plots.root")])
    assert found.trees == {"phast": EVENTS}
    assert found.histograms.keys() == {"plots/mass", "vertex_xy"}
    mass, plane = found.histograms["plots/mass"], found.histograms["vertex_xy"]
    assert (mass.values.shape, plane.values.shape) == ((52,), (10, 10))
    assert mass.entries == mass.values.sum()
    assert [float(mass.edges[0][each]) for each in (0, -1)] == [0.5, 1.5]


def test_files_of_one_product_are_added(tmp_path: Path) -> None:
    one, two = write_file(tmp_path / "1.root", seed=1), write_file(tmp_path / "2.root", seed=2)
    both = read_contents([one, two])
    parts = [read_contents([path]).histograms["plots/mass"] for path in (one, two)]
    assert both.trees == {"phast": 2 * EVENTS}
    assert np.array_equal(both.histograms["plots/mass"].values, parts[0].values + parts[1].values)
    assert both.histograms["plots/mass"].entries == parts[0].entries + parts[1].entries


def test_an_object_that_only_one_file_of_the_product_has_is_there(tmp_path: Path) -> None:
    more = write_file(tmp_path / "2.root", only=np.histogram([0.5], bins=4, range=(0, 1)))
    assert read_contents([write_file(tmp_path / "1.root"), more]).histograms["only"].entries == 1


def test_histograms_of_other_bins_in_one_product_are_refused_by_name(tmp_path: Path) -> None:
    one, two = write_file(tmp_path / "1.root"), write_file(tmp_path / "2.root", bins=51)
    with pytest.raises(FormatError, match=r"2\.root: .*plots/mass has other bins than in the other files"):
        read_contents([one, two])


def test_a_damaged_file_is_refused_with_the_object(tmp_path: Path) -> None:
    path = write_file(tmp_path / "1.root")
    content = path.read_bytes()
    place = content.index(b"mass", 400)
    path.write_bytes(content[:place] + bytes(400) + content[place + 400 :])
    with pytest.raises(FormatError, match=r"1\.root"):
        read_contents([path])


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_contents([tmp_path / "none.root"])
