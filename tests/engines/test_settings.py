"""Factory files: paths beside the file, and messages that name line and remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pilotext.api.client import Client
from pilotext.engines.factory import engine_of
from pilotext.engines.panda import PandaEngine
from pilotext.engines.script import script_of
from pilotext.engines.settings import read_factory_file
from pilotext.errors import RuleFilesError
from tests.engines.factory_files import factory_file, written
from tests.support.jobs import CHECKOUT


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    file = factory_file(tmp_path, labels={"short": {"system": "local"}})
    assert file.token_file == str(tmp_path / "token")
    assert file.folder == str(tmp_path / "factory")


def test_the_example_of_the_document_can_be_read_and_has_a_script(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (CHECKOUT / "docs/factory.md").read_text(), re.DOTALL)
    path = tmp_path / "factory.yaml"
    path.write_text(example)
    file = read_factory_file(path)
    assert set(file.labels) == {"short", "pilots", "grid"}
    engines = {name: engine_of(file, name, Client(file.server, "a-token")) for name in file.labels}
    assert isinstance(engines.pop("grid"), PandaEngine)
    for name, engine in engines.items():
        assert file.labels[name].site in script_of(file, name, engine)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": {"a.b": {"system": "local"}}}, "a.b"),
        ({"labels": {"short": {"system": "slrm"}}}, "Did you mean 'slurm'?"),
        ({"labels": {"short": {"system": "local", "max_job": 3}}}, "Did you mean `max_jobs`?"),
        ({"labels": {"short": {"system": "local", "warn_s": 7200}}}, "Make `warn_s` shorter than `wall_s`."),
        ({"labels": {"short": {"system": "local", "pilot": ["./pilot"], "slots": 2}}}, "a pilot runs one job at once"),
        ({"labels": {"grid": {"system": "panda"}}}, "each of them needs it"),
        (
            {"labels": {"short": {"system": "local", "panda": {"user": "c", "vo": "v"}}}},
            "for labels of `system: panda`",
        ),
        ({"labels": {"grid": {"system": "panda", "panda": {"user": "c", "vo": "v"}, "slots": 2}}}, "has one slot"),
        ({"labels": {"grid": {"system": "panda", "panda": {"user": "c"}}}}, "vo"),
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
