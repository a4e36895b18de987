from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from pilotext.errors import UsageError
from pilotext.profile import read_profile
from pilotext.profile.started import started_profile, write_started
from pilotext.rules.export.schema import profile_schema
from pilotext.serialization.yaml import read_yaml


def test_a_new_profile_is_complete_and_speaks_of_its_experiment_alone(tmp_path: Path) -> None:
    path = write_started(tmp_path / "rules", "SPD", 900, profile_schema())
    experiment = read_profile(path)
    assert (experiment.name, experiment.number) == ("SPD", 900)
    assert "shine" not in path.read_text().lower()
    assert "SPD-1200 is 9001200" in path.read_text()


def test_its_schema_lies_where_the_first_line_says_and_accepts_it(tmp_path: Path) -> None:
    path = write_started(tmp_path / "rules", "SPD", 900, profile_schema())
    named = path.read_text().splitlines()[0].partition("$schema=")[2]
    schema = json.loads((path.parent / named).read_text())
    jsonschema.validate(read_yaml(path).data, schema)


@pytest.mark.parametrize(
    ("name", "number", "said"),
    [
        ("spd", 900, "capital letters"),
        ("S", 900, "capital letters"),
        ("9SPD", 900, "a letter first"),
        ("../X", 900, "capital letters"),
        ("COMMON", 900, "not COMMON"),
        ("SPD", 0, "from 1 to 999"),
        ("SPD", 1000, "from 1 to 999"),
    ],
)
def test_a_name_or_number_that_cannot_lead_codes_is_refused(name: str, number: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        started_profile(name, number)


@pytest.mark.parametrize("name", ["NO", "ON", "NULL", "TRUE"])
def test_a_name_that_is_a_word_of_yaml_stays_a_name(tmp_path: Path, name: str) -> None:
    assert read_profile(write_started(tmp_path, name, 900, "{}")).name == name


def test_a_profile_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = write_started(tmp_path, "SPD", 900, "{}")
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_started(tmp_path, "SPD", 900, "{}")
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*--folder"):
        write_started(tmp_path / "file", "SPD", 900, "{}")
