from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, OperationalError, connection

from pilotext.server import database as server_database
from pilotext.server.database import share_commits, transact
from pilotext.server.production.models import Agent, AuditEntry, Site
from pilotext.server.production.profiles import remember_all
from tests.server.support import SITE


@pytest.fixture(autouse=True)
def _shared(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commits are shared where the database has one writer; with PostgreSQL, which does it itself, nothing changes."""
    remember_all()
    monkeypatch.setattr(server_database, "_writer", None)
    share_commits()
    yield
    if server_database._writer is not None:
        server_database._writer.stop()


def tell(number: int) -> int:
    AuditEntry.objects.create(who="tester", subject="test", subject_id=number)
    return number


def in_threads(number: int, work: object) -> None:
    def run(each: int) -> None:
        work(each)  # type: ignore[operator]
        connection.close()

    threads = [threading.Thread(target=run, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def told() -> list[int]:
    return sorted(AuditEntry.objects.filter(subject="test").values_list("subject_id", flat=True))


def test_every_write_gets_its_own_answer() -> None:
    answers: dict[int, int] = {}

    def ask(each: int) -> None:
        answers[each] = transact(lambda: tell(each))

    in_threads(30, ask)
    assert answers == {each: each for each in range(30)}
    assert told() == list(range(30))


def test_one_that_fails_takes_only_its_own_writes_with_it() -> None:
    failed: list[int] = []

    def work(each: int) -> None:
        tell(each)
        if each % 3 == 0:
            raise LookupError(each)

    def ask(each: int) -> None:
        try:
            transact(lambda: work(each))
        except LookupError:
            failed.append(each)

    in_threads(30, ask)
    assert sorted(failed) == list(range(0, 30, 3))
    assert told() == [each for each in range(30) if each % 3]


def test_a_write_that_breaks_a_constraint_leaves_the_others_alone() -> None:
    where = Site.objects.get(name=SITE)
    refused: list[int] = []

    def ask(each: int) -> None:
        try:
            transact(lambda: (tell(each), Agent.objects.create(name=f"agent-{each % 2}", site=where)))
        except IntegrityError:
            refused.append(each)

    in_threads(10, ask)
    assert len(refused) == 8
    assert told() == sorted(set(range(10)) - set(refused))


def test_nobody_is_answered_before_his_write_is_kept(database: str) -> None:
    transact(lambda: tell(1))
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as other:
            rows = other.execute("SELECT subject_id FROM production_auditentry WHERE subject = 'test'").fetchall()
        other.close()
        assert rows == [(1,)]
    else:
        assert told() == [1]


def test_writes_whose_shared_commit_failed_are_done_again() -> None:
    tries: list[str] = []

    def work() -> int:
        tries.append(threading.current_thread().name)
        if len(tries) == 1:
            connection.connection.rollback()  # as after a full disk: the database has ended the transaction
            raise OperationalError("disk I/O error")
        return tell(7)

    assert transact(work) == 7
    assert len(tries) == 2
    assert told() == [7]
