"""A decision on many is shown first, asked for on a terminal, and not taken where nobody can be asked."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

from pilotext.cli.decisions import confirm
from pilotext.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(*, yes: bool = False, as_json: bool = False) -> None:
    confirm("3 jobs would be moved", {"jobs": 3}, "resend these 3 jobs?", argparse.Namespace(yes=yes, json=as_json))


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_a_yes_goes_on(answer: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    asked()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("3 jobs would be moved\n", "resend these 3 jobs? [y/N]\n")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_anything_else_does_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(UsageError, match="nothing was done"):
        asked()


def test_without_a_terminal_the_preview_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="Give --yes"):
        asked()
    assert capfd.readouterr().out == "3 jobs would be moved\n"
    with pytest.raises(UsageError, match="Give --yes"):
        asked(as_json=True)
    assert capfd.readouterr().out == '{"jobs":3}\n'


def test_a_script_that_says_yes_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    asked(yes=True)
    asked(yes=True, as_json=True)
    assert capfd.readouterr().out == "3 jobs would be moved\n", "and one document stays one"
