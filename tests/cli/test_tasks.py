"""`pilotext tasks wait` says what waits for a person, and ends when nothing moves without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pilotext.api.schemas.tasks import TaskList, TaskPage, TaskRow
from pilotext.api.schemas.waits import Wait
from pilotext.cli import connection, tasks
from pilotext.cli.main import main

RUNNING = TaskRow(1, "t1", "COMPASS", "mass production", "running", {"running": 3}, {}, 1.0, 2.0)
DONE = replace(RUNNING, state="done", jobs={"finished": 3})
MOVES = Wait("attempt", "3 jobs are running", None, None, "server", "pilotext jobs --task t1 --state running")
ONE = Wait("person", "1 job waits for a decision", None, None, "expert", "pilotext jobs manual --task t1")
TWO = replace(ONE, what="2 jobs wait for a decision")
RUNS = Wait("person", "1 product of runs waits for a decision", None, None, "expert", "pilotext runs t1 --state manual")


def page(*waits: Wait, needs_person: bool = False) -> TaskPage:
    return TaskPage(RUNNING, {}, {}, (), 0, 1.0, 5, False, waits, needs_person)


class Server:
    """Answers with one page of the task after the other; after the last one, the task is done."""

    def __init__(self, pages: list[TaskPage]) -> None:
        self._pages: Iterator[TaskPage] = iter(pages)
        self._page: TaskPage | None = None

    def get(self, path: str, _kind: type[Any], _query: object = None) -> Any:
        if path == "/api/v1/tasks":
            self._page = next(self._pages, None)
            return TaskList((DONE if self._page is None else self._page.task,))
        return self._page


def wait(pages: list[TaskPage], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(connection, "connect", lambda _options: Server(pages))
    monkeypatch.setattr(tasks, "POLL_S", 0.0)
    return main(["tasks", "wait", "t1"])


def test_what_waits_for_a_person_is_told_once_a_change(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pages = [page(MOVES), page(MOVES, ONE), page(MOVES, ONE), page(MOVES, TWO, RUNS), page(MOVES), page(MOVES)]
    assert wait(pages, monkeypatch) == 0
    said = capfd.readouterr()
    assert said.err.count("waits: 1 job waits for a decision") == 1
    assert said.err.count("waits: 2 jobs wait for a decision") == 1
    assert "pilotext jobs manual --task t1" in said.err
    assert "pilotext runs t1 --state manual" in said.err
    assert said.err.count("nothing waits for a decision any more") == 1
    assert "3 jobs are running" not in said.err
    assert "decision" not in said.out


def test_a_task_that_cannot_go_on_without_a_person_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert wait([page(MOVES, ONE), page(ONE, needs_person=True)], monkeypatch) == 75
    said = capfd.readouterr()
    assert "pilotext jobs manual --task t1" in said.err
    assert "running" in said.out


def test_the_table_of_tasks_shows_how_much_waits_for_a_decision(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [replace(page(), task=replace(RUNNING, to_decide=4))]
    monkeypatch.setattr(connection, "connect", lambda _options: Server(rows))
    assert main(["tasks"]) == 0
    head, row = capfd.readouterr().out.splitlines()
    assert row[head.index("to decide") :].split()[0] == "4"
