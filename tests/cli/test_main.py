"""The one place where errors become words and exit statuses."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest

from pilotext.cli import main as cli
from pilotext.cli.parser import Command
from pilotext.errors import PilotextError, UsageError


def verb_that(error: BaseException | None) -> object:
    """A module for a verb whose run raises the error, or returns 7."""

    class Module:
        EXAMPLE = "pilotext try"

        @staticmethod
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("--word")

        @staticmethod
        def run(options: argparse.Namespace) -> int:
            if error is not None:
                raise error
            return 7

    return Module


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> object:
    def make(error: BaseException | None) -> None:
        monkeypatch.setitem(sys.modules, "tests.verb", verb_that(error))
        monkeypatch.setattr(cli, "COMMANDS", {"try": Command("tests.verb", "try something")})

    return make


def test_a_verb_gives_the_exit_status(verb: object) -> None:
    verb(None)  # type: ignore[operator]
    assert cli.main(["try", "--word", "x"]) == 7


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("this cannot be", advice="Do that."), 64, "pilotext: error: this cannot be Do that.\n"),
        (PilotextError("it broke"), 70, "pilotext: error: it broke\n"),
        (KeyboardInterrupt(), 69, "pilotext: interrupted\n"),
    ],
)
def test_our_own_errors_are_one_sentence(
    verb: object, capfd: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    verb(error)  # type: ignore[operator]
    assert cli.main(["try"]) == status
    assert capfd.readouterr().err == said


def test_a_bug_is_said_to_be_one_and_leaves_a_file_to_report(verb: object, capfd: pytest.CaptureFixture[str]) -> None:
    verb(ZeroDivisionError("oops, authz=a-secret"))  # type: ignore[operator]
    assert cli.main(["try"]) == 70
    said = capfd.readouterr().err
    assert "this is a bug in pilotext: ZeroDivisionError: oops" in said
    found = re.search(r"with the file (\S+)", said)
    assert found is not None
    file = Path(found[1])
    assert "ZeroDivisionError: oops, authz=********" in file.read_text()
    assert "a-secret" not in said
    file.unlink()


@pytest.mark.parametrize("words", [[], ["no-such-verb"], ["run", "--no-such-option"]])
def test_wrong_words_are_a_usage_error(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(words)
    except SystemExit as left:
        status = int(left.code or 0)
    assert status == 64


def test_every_command_helps(capfd: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as left:
            cli.main([name, "--help"])
        assert left.value.code == 0
        assert f"usage: pilotext {name}" in capfd.readouterr().out
