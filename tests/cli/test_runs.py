from __future__ import annotations

import json
from typing import Any

import pytest

from pilotext.api.client import ServerError
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.runs import ProductList, ProductRow, RunList, RunPage, RunRow
from pilotext.api.schemas.tasks import TaskList, TaskRow
from pilotext.cli import connection
from pilotext.cli.main import main


def product(number: int, run: int, merge: str, state: str = "manual") -> ProductRow:
    return ProductRow(number, "t1", run, merge, state, 1, (), None, "2 of 3 chunks are not there", (), 0.0)


class Server:
    """What the verb asks for, and what it is answered."""

    def __init__(self, *products: ProductRow) -> None:
        self.products = products
        self.moves: list[tuple[str, Move]] = []
        self.refused: dict[int, int] = {}

    def get(self, path: str, kind: type, query: dict[str, Any] | None = None) -> Any:
        if kind is RunList:
            return RunList((), None)
        if kind is TaskList:
            return TaskList((TaskRow(1, "t1", "COMPASS", "mass production", "running", {}, {}, 0.0, 0.0),))
        if kind is RunPage:
            run = int(path.rpartition("/")[2])
            of_run = tuple(row for row in self.products if row.run == run)
            return RunPage(RunRow("t1", run, {}, {}), of_run, {}, ())
        query = query or {}
        wanted = {name: query[name] for name in ("run", "merge", "state") if query.get(name) is not None}
        found = [row for row in self.products if all(getattr(row, name) == value for name, value in wanted.items())]
        return ProductList(tuple(found), None)

    def post(self, path: str, body: Move, _kind: type) -> Moved:
        number = int(path.split("/")[4])
        self.moves.append((path, body))
        if number in self.refused:
            raise ServerError(self.refused[number], "3 chunks of run 7 are not finished yet.")
        row = next(row for row in self.products if row.product == number)
        mine = [each.product for each in self.products if each.run == row.run]
        return Moved(
            tuple(mine)
            if body.to in ("merge-without", "resend-missing")
            else (number,)
            if row.state == "manual"
            else ()
        )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(product(1, 7, "mdst"), product(2, 7, "hist"), product(3, 8, "mdst"), product(4, 9, "mdst", "kept"))
    monkeypatch.setattr(connection, "connect", lambda _options: made)
    return made


@pytest.mark.parametrize("word", ["merge-without", "resend-missing"])
def test_what_is_for_all_of_a_run_is_asked_once_for_each_run(
    word: str, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", word, "t1", "--state", "manual", "--why", "hopeless", "--json", "--yes"]) == 0
    assert [path for path, _ in server.moves] == ["/api/v1/products/1/move", "/api/v1/products/3/move"]
    assert {(move.to, move.why) for _, move in server.moves} == {(word, "hopeless")}
    assert json.loads(capfd.readouterr().out) == {"moved": [1, 2, 3], "hindered": {}}


def test_one_kind_of_one_run_can_be_chosen(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "accept", "t1", "--run", "7", "--merge", "hist", "--why", "two events"]) == 0
    assert [path for path, _ in server.moves] == ["/api/v1/products/2/move"]
    assert "accept: 1 product" in capfd.readouterr().out


def test_what_the_server_refuses_is_told_and_the_others_go_on(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.refused[1] = 409
    assert main(["runs", "merge-without", "t1", "--state", "manual", "--why", "hopeless", "--yes"]) == 64
    told = capfd.readouterr().out
    assert "merge-without: 1 product" in told
    assert "3 chunks of run 7 are not finished yet" in told


def test_another_refusal_ends_it(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.refused[1] = 403
    assert main(["runs", "remerge", "t1", "--run", "7", "--why", "x"]) == 70
    assert len(server.moves) == 1


def test_nothing_to_decide_is_no_success(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "accept", "t1", "--run", "9", "--why", "x"]) == 64
    assert main(["runs", "accept", "t1", "--run", "10", "--why", "x"]) == 64
    assert main(["runs", "remerge", "t1", "--run", "9", "--why", "x", "--json"]) == 64
    assert "there is nothing to remerge" in capfd.readouterr().out


def test_a_decision_on_many_runs_shows_them_and_does_nothing_without_a_yes(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "merge-without", "t1", "--state", "manual", "--why", "hopeless"]) == 64
    said = capfd.readouterr()
    assert "run 8 mdst, manual: 2 of 3 chunks are not there" in said.out
    assert "merge-without these 3 products of 2 runs?" in said.err
    assert server.moves == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["list", "t1", "--merge", "mdst"],
            "--merge: `pilotext runs list` takes no such argument; it is an option of: show,",
        ),
        (["accept", "t1", "--run", "7"], "the following arguments are required: --why"),
        (["accept", "t1", "--why", "x"], "no runs are chosen"),
        (["forget", "t1"], "t1: `pilotext runs list` takes no such argument"),
        (["list", "t1", "t2"], "t2: `pilotext runs list` takes no such argument"),
        (["remerge", "--why", "x"], "the following arguments are required: TASK"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_decided(
    server: Server, capfd: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    try:
        status = main(["runs", *words])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 64
    assert told in capfd.readouterr().err
    assert server.moves == []


def test_products_are_shown_with_what_is_wrong(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", "t1", "--run", "7"]) == 0
    told = capfd.readouterr().out
    assert "hist" in told
    assert "2 of 3 chunks are not there" in told
    assert main(["runs", "show", "t1", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["products"]) == 4
