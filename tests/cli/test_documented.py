"""Every command that the documents for managers and administrators show is accepted by the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.cli.main import COMMANDS
from pilotext.cli.parser import parse

DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENTS = ("manager.md", "administrator.md", "factory.md", "profiles.md")
TEXT = "".join((DOCS / name).read_text() for name in DOCUMENTS)


def commands(text: str) -> Iterator[str]:
    """What stands behind `pilotext` in code, without what a shell does with it; verbs that are only named are not."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
        yield from re.findall(r"pilotext ([a-z][^#\n()]*)", block)
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (code for code in re.findall(r"`pilotext ([^`]+)`", plain) if " " in code)


FOUND = sorted({command.strip() for command in commands(TEXT)})


def test_the_documents_show_all_verbs_of_the_server() -> None:
    assert len(FOUND) > 50
    shown = set(re.findall(r"pilotext ([a-z]+)", TEXT))
    others = {"run", "classify", "outputs", "report", "rules", "completion"}
    assert set(COMMANDS) - shown <= others, "nothing of the server is left out"


@pytest.mark.parametrize("command", FOUND)
def test_every_command_of_the_documents_is_accepted(command: str) -> None:
    words = [re.sub(r"^N$", "7", word) for word in shlex.split(command)]
    try:
        assert parse(COMMANDS, words).command == words[0]
    except SystemExit as end:
        pytest.fail(f"pilotext {command}: status {end.code}")
