"""The addresses of pages that verbs print: on a terminal, and with `--url` nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from pilotext.api.schemas.jobs import JobPage, JobRow
from pilotext.api.schemas.tasks import TaskList, TaskPage, TaskRow
from pilotext.cli import connection
from pilotext.cli.main import main

TASK = TaskRow(3, "t1", "COMPASS", "mass production", "running", {}, {}, 0.0, 0.0)
JOB = JobRow(7, "t1", "mass production", "", "f", 1, 2, "ready", 0, 0, "", "", "", 0.0, 0.0)


class Server:
    def get(self, path: str, kind: type, query: dict[str, Any] | None = None) -> Any:
        if kind is JobPage:
            return JobPage(JOB, (), ())
        if kind is TaskPage:
            return TaskPage(TASK, {}, {}, (), 0, 1.0, 5, staging=False, waits=())
        return TaskList((TASK,))


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "connect", lambda _options: Server())
    monkeypatch.delenv("PILOTEXT_SERVER", raising=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs", "show", "7", "--server", "https://prod.example.org:8443/"], "https://prod.example.org:8443/jobs/7"),
        (["tasks", "show", "t1", "--server", "https://prod.example.org"], "https://prod.example.org/tasks/3"),
    ],
)
def test_url_prints_the_address_of_the_page_alone(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--url"]) == 0
    assert capfd.readouterr().out == f"{said}\n"


def test_the_server_of_the_environment_counts_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILOTEXT_SERVER", "http://127.0.0.1:8080")
    assert main(["jobs", "show", "7", "--url"]) == 0
    assert capfd.readouterr().out == "http://127.0.0.1:8080/jobs/7\n"


def test_a_terminal_gets_the_address_behind_the_page_and_a_pipe_does_not(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["jobs", "show", "7", "--server", "http://s"]
    assert main(words) == 0
    assert "page:" not in capfd.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(words) == 0
    assert "page: http://s/jobs/7" in capfd.readouterr().out
    assert main([*words, "--json"]) == 0
    assert "page:" not in capfd.readouterr().out
