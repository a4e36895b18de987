"""Every command that the documentation of the server shows is one that the command takes."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.cli.main import VERBS, main

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "server.md"


def commands(text: str) -> Iterator[str]:
    """What stands behind `pilotext` in code, without what a shell does with it; verbs that are only named are not."""
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL):
        yield from re.findall(r"pilotext ([a-z][^#\n()]*)", block)
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (code for code in re.findall(r"`pilotext ([^`]+)`", plain) if " " in code)


FOUND = sorted({command.strip() for command in commands(DOCUMENT.read_text())})


def test_the_document_shows_what_managers_do() -> None:
    assert len(FOUND) > 50
    shown = set(re.findall(r"pilotext ([a-z]+)", DOCUMENT.read_text()))
    assert set(VERBS) - shown <= {"run", "classify", "outputs", "report", "rules"}, "nothing of the server is left out"


@pytest.mark.parametrize("command", FOUND)
def test_every_command_of_the_document_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [re.sub(r"^N$", "7", word) for word in shlex.split(command)]
    monkeypatch.setattr(importlib.import_module(VERBS[words[0]][0]), "run", lambda _options: 0)
    try:
        assert main(words) == 0
    except SystemExit as end:
        pytest.fail(f"pilotext {command}: status {end.code}")
