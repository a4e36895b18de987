from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """A folder of rules with the profile of an experiment SPD."""
    assert main(["profile", "new", "SPD", "--number", "900", "--folder", str(tmp_path)]) == 0
    capfd.readouterr()
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path))
    return tmp_path


def test_all_experiments_are_listed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile"]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert [row[0] for row in rows[1:]] == ["COMPASS", "NA62", "SPD"]
    assert rows[3][1:] == ["900", "2", "1", str(folder / "spd/experiment.yaml")]


def test_an_experiment_is_shown_with_all_that_a_job_needs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "spd"]) == 0
    out = capfd.readouterr().out
    for part in ("hadd -f {merged} {inputs}", "24:00:00 h", "2000 MB", "spd-{run:06d}-{chunk:03d}.raw", "SPD_LOCAL"):
        assert part in out


def test_formats_kinds_and_balances_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "COMPASS"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert lines[0].startswith("COMPASS, number 58, codes 1200-1299: ")
    for row in (
        "hist Entries of histograms everything",
        "*.raw date",
        "reconstruction mdst_entries == events_written failed",
        "merging mdst_tree_entries == inputs.tree_entries reported",
    ):
        assert row in lines


def test_the_document_has_the_defaults_too(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "SPD", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["job_types"]["merging"]["limits"]["transfer_tries"] == 3


def test_an_unknown_experiment_is_an_error_with_the_nearest(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "SPDD"]) == 64
    assert "SPD" in capfd.readouterr().err.partition("SPDD")[2]


@pytest.mark.parametrize("words", [("COMPASS", "901"), ("SPD", "901"), ("AMBER", "58"), ("AMBER", "900")])
def test_a_name_or_a_number_that_another_experiment_has_is_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    assert main(["profile", "new", words[0], "--number", words[1], "--folder", str(tmp_path / "other")]) == 64
    assert "is known already" in capfd.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_second_profile_of_an_experiment_is_named_since_it_is_never_read(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "compass").mkdir()
    (folder / "compass/experiment.yaml").write_text("experiment: [broken\n")
    assert main(["profile", "lint", "COMPASS"]) == 64
    assert str(folder / "compass/experiment.yaml") in capfd.readouterr().err
    assert main(["profile", "list"]) == 0
    assert capfd.readouterr().out.count("COMPASS") == 1


def test_good_profiles_have_no_problems(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "lint"]) == 0
    assert capfd.readouterr().out == "profiles: 3, problems: 0\n"


def test_a_problem_is_told_with_its_place_and_its_remedy(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / "spd/experiment.yaml"
    path.write_text(path.read_text().replace("'{reco}', kind", "'{recoo}', kind"))
    assert main(["profile", "lint", "SPD"]) == 1
    first, last = capfd.readouterr().out.splitlines()
    assert "experiment.yaml:" in first
    assert "'recoo'" in first
    assert "reco" in first.partition("recoo")[2]
    assert last == "profiles: 1, problems: 1"
