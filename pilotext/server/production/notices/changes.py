"""Notices of changes of state, written in the transaction of the change: which changes, and their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pilotext.server.production.models import Agent, Breaker, LogArchive, Product, Site, Task
from pilotext.server.production.notices.store import Announcement, announce
from pilotext.server.production.states import (
    AGENT,
    ARCHIVE,
    BREAKER,
    PRODUCT,
    TASK,
    AgentState,
    BreakerState,
    LogArchiveState,
    ProductState,
    TaskState,
)

if TYPE_CHECKING:
    from pilotext.server.production.transitions import Reason

Announcer = Callable[[list[int], str, str], Iterator[Announcement]]
"""Of the ids of what has changed, the state that it has now, and the reason."""

TASK_WORDS = {
    TaskState.DONE: "is done",
    TaskState.ARCHIVED: "is archived",
    TaskState.PAUSED: "is held",
    TaskState.CANCELLED: "is cancelled",
}


def announce_changes(
    subject: str, after: str, reason: Reason, rows: Sequence[tuple[int, str, int | None]], at: datetime
) -> None:
    """Write the notices of rows that were moved to a state, each with its id and its state before."""
    announcer = ANNOUNCED.get((subject, after))
    ends_itself = subject == AGENT.name and reason.actor != "cycle"
    if announcer is None or ends_itself:
        return
    still = (BreakerState.OPEN, BreakerState.PROBING) if after == BreakerState.OPEN else (after,)
    changed = [pk for pk, before, _ in rows if before and before not in still]  # not those that are new
    if changed:
        announce(announcer(changed, after, reason.why), at)


def _tasks(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    for pk, name in Task.objects.filter(pk__in=ids).values_list("pk", "name"):
        title = f"Task {name} {TASK_WORDS[TaskState(after)]}"
        yield Announcement("task", f"{after} {pk}", title, why, f"/tasks/{pk}", task=pk)


def _runs(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    rows = Product.objects.filter(pk__in=ids).order_by("pk").values_list("task", "task__name", "run", "merge")
    found = list(rows)
    numbers = Counter(task for task, *_ in found)
    first = {task: (name, run, merge) for task, name, run, merge in reversed(found)}
    for task, (name, run, merge) in first.items():
        text = f"run {run}, {merge}: {why}"
        page = f"/tasks/{task}/runs/{run}"
        yield Announcement(
            "run", f"{after} {task}", f"Runs of task {name} are held", text, page, task=task, count=numbers[task]
        )


def _archives(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    found = Counter(LogArchive.objects.filter(pk__in=ids).values_list("task", "task__name"))
    for (task, name), number in found.items():
        title = f"Log archives of task {name} are held"
        yield Announcement("task", f"archive {after} {task}", title, why, f"/tasks/{task}", task=task, count=number)


def _breakers(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    for row in Breaker.objects.filter(pk__in=ids).select_related("site", "experiment"):
        place = row.site.name if row.site else row.scope or row.experiment.name
        same = f"{after} {row.experiment_id} {row.rule} {place}"  # all nodes of a site together
        word = "has tripped" if after == BreakerState.OPEN else "is reset"
        title = f"Breaker {row.rule} of {row.scope or place} {word}"
        yield Announcement("breaker", same, title, why, "/failures", site=row.site_id, cause=row.rule)


def _sites(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    for pk, name in Site.objects.filter(pk__in=ids).values_list("pk", "name"):
        yield Announcement("site", f"{after} {pk}", f"Site {name} is {after}", why, "/sites", site=pk)


def _agents(ids: list[int], after: str, why: str) -> Iterator[Announcement]:
    rows = Agent.objects.filter(pk__in=ids).order_by("pk").values_list("site", "site__name", "name")
    found = list(rows)
    numbers = Counter(site for site, *_ in found)
    for site, (place, agent) in {site: (place, agent) for site, place, agent in reversed(found)}.items():
        title = f"Agents at {place} are dead"
        yield Announcement(
            "agent", f"{after} {site}", title, f"{agent}: {why}", "/sites", site=site, count=numbers[site]
        )


ANNOUNCED: dict[tuple[str, str], Announcer] = {
    **{(TASK.name, state): _tasks for state in TASK_WORDS},
    (PRODUCT.name, ProductState.MANUAL): _runs,
    (ARCHIVE.name, LogArchiveState.MANUAL): _archives,
    (BREAKER.name, BreakerState.OPEN): _breakers,
    (BREAKER.name, BreakerState.CLOSED): _breakers,
    ("site", "closed"): _sites,
    ("site", "open"): _sites,
    (AGENT.name, AgentState.GONE): _agents,
}
"""Changes that have a notice, by their subject in the audit trail and the state that they lead to."""
