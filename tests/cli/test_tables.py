from __future__ import annotations

import sys

import pytest

from pilotext.cli.formatting import counts
from pilotext.cli.tables import print_table, progress
from pilotext.errors import UsageError
from pilotext.formatting import clock, point_in_time


def test_a_table_is_plain_columns_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    print_table(("job", "state"), [(1, "failed"), (22, None)])
    assert capfd.readouterr().out == "job  state\n1    failed\n22   -\n"


def test_a_table_has_colours_on_a_terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    print_table(("job", "state"), [(1, "failed")])
    said = capfd.readouterr().out
    assert "\x1b[31mfailed" in said
    assert "job" in said


def test_what_a_server_sends_cannot_steer_the_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("diag",), [("\x1b]0;owned\x07[bold]text",)])
    said = capfd.readouterr().out
    assert "\x1b]0;" not in said
    assert "[bold]text" in said


def test_progress_says_nothing_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("resend") as tell:
        tell(1, 2)
    assert capfd.readouterr() == ("", "")


def test_counts_and_times_are_for_people() -> None:
    assert counts({"ready": 1, "failed": 2}) == "failed:2 ready:1"
    assert counts({}) == "-"
    assert clock(86400.0) == "1970-01-02 00:00:00"
    assert clock(None) == "-"


def test_a_period_begins_on_a_day_or_some_time_ago() -> None:
    assert point_in_time("1970-01-02") == 86400.0
    assert point_in_time("1d") - point_in_time("2d") == pytest.approx(86400, abs=60)


@pytest.mark.parametrize("text", ["yesterday", "1x", "", "2026-13-01", "-1d"])
def test_another_text_is_not_a_point_in_time(text: str) -> None:
    with pytest.raises(UsageError, match="not a point in time"):
        point_in_time(text)
