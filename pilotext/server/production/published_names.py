"""Ownership of the published names: each belongs to one task, and whoever writes or removes a file asks here before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import TypeVar

from django.db.models import Q

from pilotext.formatting import counted_words
from pilotext.model import Record
from pilotext.server.database import insert_unless_there
from pilotext.server.production.job_builder import predecessors
from pilotext.server.production.models import Output, PublishedFile, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import OutputState
from pilotext.server.production.submission.naming import key_of

AT_ONCE = 500
"""Keys in one statement: SQLite bounds the variables that a statement may have."""

MAX_TOLD = 5

T = TypeVar("T")

_TYPES = {"key": "bigint", "task_id": "bigint", "job": "bigint"}


class Owned(Record, frozen=True):
    """A name that belongs to a task, and to one of its jobs if it is the output of one."""

    key: int
    experiment: str
    task: str
    job: int | None

    def is_of(self, experiment: str, tasks: Collection[str]) -> bool:
        """Whether it belongs to one of these tasks of an experiment; another one's may have the same name."""
        return self.experiment == experiment and self.task in tasks


class NamesTakenError(RefusalError):
    """Names that belong to other tasks."""

    def __init__(self, taken: Sequence[tuple[str, Owned]], count: int, advice: str = "") -> None:
        self.taken = tuple(taken)
        self.count = count
        told = "; ".join(f"{url} is {_whose(owned)}" for url, owned in taken[:MAX_TOLD])
        more = f"; and {count - MAX_TOLD} more" if count > MAX_TOLD else ""
        advice = (
            advice or "Change a parameter that these names hold, or say `replaces: TASK` if this task takes its place."
        )
        names = counted_words(count, "published name", "belongs")
        super().__init__("conflict", f"{names} to other tasks: {told}{more}. {advice}")


def claim(task: int, names: Iterable[tuple[int, int | None]]) -> int:
    """Give names, as pairs of key and job, to a task, but for those that have an owner; in a transaction.

    Returns how many of them it owns now for the first time.
    """
    rows = sorted(names, key=lambda row: row[0])
    keys, jobs = [row[0] for row in rows], [row[1] for row in rows]
    return insert_unless_there(PublishedFile, _TYPES, (keys, [task] * len(keys), jobs))


def claim_urls(task: Task, urls: Iterable[str]) -> None:
    """Give these names to a task, also those of tasks that it has replaced; in a transaction.

    Raises NamesTakenError if one of them is another task's.
    """
    asked = {key_of(url): url for url in urls}
    _inherit(task, asked)
    claim(task.pk, ((key, None) for key in asked))
    others = [each for each in owners(asked) if not each.is_of(task.experiment.name, [task.name])]
    if others:
        command = f"pilotext tasks set {quote(task.name)} --replaces TASK --why ..."
        advice = f"If it takes that one's place, end that one, then `{command}`."
        raise NamesTakenError([(asked[each.key], each) for each in others], len(others), advice)


def _inherit(task: Task, asked: Mapping[int, str]) -> None:
    """Take names over late: the number of files of a merged run was not known when the earlier task was replaced."""
    earlier = list(predecessors(task))
    if not earlier:
        return
    for some in in_parts(sorted(asked)):
        PublishedFile.objects.filter(pk__in=some, task__in=earlier).update(task=task.pk, job=None)
        urls = [asked[key] for key in some]
        there = Output.objects.valid().filter(Q(url__in=urls) | Q(kept__in=urls), job__task__in=earlier)
        there.update(state=OutputState.SUPERSEDED)


def owners(keys: Iterable[int]) -> Iterator[Owned]:
    """Those of the names that have an owner."""
    for some in in_parts(sorted(keys)):
        found = PublishedFile.objects.filter(pk__in=some).order_by("pk")
        rows = found.values_list("pk", "task__experiment__name", "task__name", "job")
        yield from (Owned(*row) for row in rows)


def not_owned(task: Task, urls: Iterable[str]) -> dict[str, str]:
    """Of these URLs, those that belong to another task, with its name; names that nobody has are anyone's."""
    asked = {key_of(url): url for url in urls}
    others = PublishedFile.objects.filter(~Q(task=task.pk))
    return {
        asked[key]: name
        for some in in_parts(sorted(asked))
        for key, name in others.filter(pk__in=some).values_list("pk", "task__name")
    }


def refuse_if_replaced(task: Task) -> None:
    """Raise RefusalError for a task whose names were taken over: nothing of it may be published or removed."""
    if why := why_replaced(task):
        raise RefusalError("conflict", why)


def why_replaced(task: Task) -> str:
    """A sentence that says which task has taken over the names of this one; empty when none has."""
    successor = Task.objects.filter(replaces=task.pk).values_list("name", flat=True).first()
    return replaced_by(task, successor) if successor is not None else ""


def replaced_by(task: Task, successor: str) -> str:
    """Return the sentence that says that another task has taken over the names of this one."""
    return f"the task {task.name} was replaced by {successor}, which owns its published names now"


def _whose(owned: Owned) -> str:
    return f"{owned.task}'s" + (f" (job {owned.job})" if owned.job is not None else "")


def in_parts(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """The same, as many at a time as a statement may have."""
    for begin in range(0, len(keys), AT_ONCE):
        yield keys[begin : begin + AT_ONCE]
