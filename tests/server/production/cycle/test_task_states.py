"""Each step of the cycle works for tasks in certain states, and leaves all others as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pilotext.server.database import transact
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Job, Product, Task
from pilotext.server.production.states import TaskState
from pilotext.storage.memory import MemoryStorage
from tests.server.chain import generation, reconstruction
from tests.server.chain import submit as submit_task
from tests.server.merged import ON_MEMORY, do_all, storage, submit_runs
from tests.server.support import WHY, submit

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")

GOING_ON = {TaskState.RUNNING, TaskState.PAUSED}

WORKS_FOR: dict[str, set[TaskState]] = {
    "cancelled": {TaskState.CANCELLED},
    "resumed": {TaskState.DRAFT},
    "inputs": {TaskState.READY, TaskState.RUNNING, TaskState.PAUSED, TaskState.DONE},
    "ready": {TaskState.RUNNING},
    "staging": {TaskState.RUNNING},
    "ask": {TaskState.RUNNING},
    "merge": {TaskState.RUNNING},
    "merged": GOING_ON,
    "check": GOING_ON,
    "keep": GOING_ON,
    "done": GOING_ON,
    "archives": {TaskState.ARCHIVING},
    "archive": {TaskState.ARCHIVING},
    "clean": {TaskState.ARCHIVING},
    "clean logs": {TaskState.ARCHIVING},
    "archived": {TaskState.ARCHIVING},
}
"""States of the tasks that a step works for, said once more: all that begins, writes, removes or publishes anything."""

WHATEVER_THE_STATE = {
    "leases": "an attempt ends when nothing is heard of it",
    "verify": "a worker has published already, and its report is compared with what is there",
    "dissolve": "a person has had a run merged again, and its files are free again",
    "poll": "the tape system was asked before, and has its answer taken",
    "look": "files of the tape system, which tasks share",
    "give back": "files of the tape system, which no job needs any more",
}

OF_NO_TASK = {
    "breakers",
    "agents",
    "hours",
    "failure rates",
    "silent factories",
    "rule files",
    "webhooks",
    "mails",
    "old notices",
}


def step(name: str) -> int:
    """Do one step of the cycle; returns how many things it moved."""
    (moved,) = run_once(tuple(each for each in STEPS if each.name == name)).values()
    assert moved >= 0
    return moved


def move(word: str) -> list[int]:
    moved = transact(lambda: move_task(Task.objects.get().pk, word, WHY))
    assert moved
    return moved


def some_run(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)


STAGES: tuple[tuple[str, Callable[[MemoryStorage], object]], ...] = (
    ("merge", lambda storage: (step("merge"), do_all(storage))),
    ("merged", lambda _: step("merged")),
    ("check", lambda _: step("check")),
    ("keep", lambda _: step("keep")),
    ("done", lambda _: (step("done"), move("archive"))),
    ("archives", lambda _: step("archives")),
    ("archive", lambda _: step("archive")),
    ("clean", lambda _: step("clean")),
    ("clean logs", lambda _: step("clean logs")),
)
"""The way of a run from its chunks to its archived task, in the order of the steps."""


def prepare(name: str, storage: MemoryStorage) -> None:
    """Make a task for which this step has something to do, but for the state of the task."""
    if name in ("cancelled", "resumed", "ready"):
        submit()
    if name == "ready":
        Job.objects.update(state="defined")
    if name == "resumed":
        move("cancel")
        step("cancelled")
        move("resume")
    if name == "inputs":
        submit_task(generation(jobs=1))
        submit_task(reconstruction())
        do_all(storage)
    if name in ("staging", "ask"):
        submit(["/castor/W14/cdr0-1.raw"], staging=True, parameters=ON_MEMORY)
        storage.files["memory://tape//castor/W14/cdr0-1.raw"] = b"raw"
    if name == "ask":
        step("staging")
    if name not in (*(stage for stage, _ in STAGES), "archived"):
        return
    some_run(storage)
    for stage, work in STAGES:
        if stage == name:
            return
        work(storage)


def test_every_step_says_which_tasks_it_works_for() -> None:
    """A new step has to be in one of these lists."""
    lists = [*WORKS_FOR, *WHATEVER_THE_STATE, *OF_NO_TASK]
    assert sorted(lists) == sorted(each.name for each in STEPS)


@pytest.mark.parametrize("name", WORKS_FOR)
def test_a_step_leaves_a_task_in_another_state_as_it_is(name: str, storage: MemoryStorage) -> None:
    prepare(name, storage)
    files, products = dict(storage.files), list(Product.objects.values_list("pk", "state", "round"))
    for state in sorted({*TaskState} - WORKS_FOR[name]):
        Task.objects.update(state=state)
        assert (state, step(name)) == (state, 0)
        assert storage.files == files
        assert list(Product.objects.values_list("pk", "state", "round")) == products
    Task.objects.update(state=min(WORKS_FOR[name]))
    assert step(name) > 0, "there was something to do"


@pytest.mark.parametrize("name", ["merged", "check", "keep", "done"])
def test_what_was_begun_for_a_paused_task_is_brought_to_its_end(name: str, storage: MemoryStorage) -> None:
    prepare(name, storage)
    move("pause")
    assert step(name) > 0
