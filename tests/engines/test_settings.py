"""Factory files: paths beside the file, and messages that name line and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotext.engines.settings import read_factory_file
from pilotext.errors import RuleFilesError
from tests.engines.factory_files import factory_file, written


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    file = factory_file(tmp_path, labels={"short": {"system": "local"}})
    assert file.token_file == str(tmp_path / "token")
    assert file.folder == str(tmp_path / "factory")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": {"a.b": {"system": "local"}}}, "a.b"),
        ({"labels": {"short": {"system": "slrm"}}}, "Did you mean 'slurm'?"),
        ({"labels": {"short": {"system": "local", "max_job": 3}}}, "Did you mean `max_jobs`?"),
        ({"labels": {"short": {"system": "local", "warn_s": 7200}}}, "Make `warn_s` shorter than `wall_s`."),
        ({"labels": {"short": {"system": "local", "pilot": ["./pilot"], "slots": 2}}}, "a pilot runs one job at once"),
        ({"labels": {}}, "labels"),
        ({"labels": {"short": {"system": "local"}}, "server": "127.0.0.1"}, "server"),
        ({"labels": {"short": {"system": "local"}}, "format": 2}, "Upgrade pilotext."),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_remedy(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = written(tmp_path, **fields)
    with pytest.raises(RuleFilesError) as caught:
        read_factory_file(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")
