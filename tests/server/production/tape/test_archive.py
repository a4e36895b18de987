"""Merged files of a task that is cancelled before, or while, they are copied to where they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from pilotext.errors import DeniedError
from pilotext.server.database import transact
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Product, Task
from pilotext.server.production.storage import operations
from pilotext.server.times import EPOCH
from pilotext.storage.leftovers import part_of
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import TAPE, cycle, do_all, product, storage, submit_runs
from tests.server.support import WHY

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")
KEPT = "memory://tape//castor/cern.ch/compass/generalprod/oracle_dst/soft/mDST/mDST-1-0-7.root"
PART = part_of(KEPT, operations.PART_TAG)
BEFORE_KEEPING = tuple(each for each in STEPS if each.name != "keep")


def decide(word: str, name: str = "t1") -> None:
    task = Task.objects.get(name=name).pk
    assert transact(lambda: move_task(task, word, WHY)) == [task]


def checked(storage: MemoryStorage, **fields: object) -> None:
    """A run whose merged file is checked and not kept yet."""
    submit_runs({1: 1}, **fields)  # type: ignore[arg-type]
    for _ in range(2):
        do_all(storage)
        run_once(BEFORE_KEEPING)


def on_tape(storage: MemoryStorage) -> list[str]:
    return [url for url in storage.files if url.startswith(TAPE)]


def test_the_merged_file_of_a_cancelled_task_is_not_kept_and_its_successor_has_the_place(
    storage: MemoryStorage,
) -> None:
    checked(storage, name="t1")
    decide("cancel")
    cycle(3)
    assert on_tape(storage) == []
    assert product().state == "checked"
    submit_runs({1: 1}, name="t2", replaces="t1")
    for _ in range(3):
        do_all(storage)
        cycle(2)
    assert Product.objects.get(task__name="t2").state == "kept"
    assert on_tape(storage) == [KEPT]


def test_a_copy_of_a_task_that_is_cancelled_meanwhile_leaves_nothing_and_goes_on_when_it_is_resumed(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(storage)
    put = storage.put

    def put_and_cancel(**arguments: Any) -> object:
        monkeypatch.setattr(storage, "put", put)
        done = put(**arguments)
        decide("cancel")
        return done

    monkeypatch.setattr(storage, "put", put_and_cancel)
    cycle()
    assert on_tape(storage) == []
    assert (product().state, product().tries) == ("copying", 0)
    decide("resume")
    cycle(2)
    assert on_tape(storage) == [KEPT]
    assert product().state == "kept"


def test_a_copy_that_fails_after_its_task_was_cancelled_is_left_as_it_is(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(storage)
    put = storage.put

    def cancel_and_fail(**arguments: Any) -> object:
        decide("cancel")
        monkeypatch.setattr(storage, "put", put)
        raise DeniedError(PART, "no")

    monkeypatch.setattr(storage, "put", cancel_and_fail)
    cycle()
    assert (product().state, product().tries, product().finding) == ("copying", 0, "")
    Product.objects.update(busy_until=EPOCH)
    cycle(2)
    assert (on_tape(storage), product().state) == ([], "copying")
