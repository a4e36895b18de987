"""Tasks that were stored before published names had owners: each gets its names, as far as no other task has them."""

from __future__ import annotations

from functools import partial

from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.server.database import transact
from pilotext.server.production.job_builder import task_facts
from pilotext.server.production.models import Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import MAX_TOLD, claim, owners, refuse_if_replaced
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.submission.naming import NameForms, key_of, shared_places, url_of, values_of
from pilotext.server.production.submission.succession import take_over
from pilotext.server.production.transitions import Reason, record

_WHO = "names"


def name_tasks() -> int:
    """Give names to all tasks that have none, the earliest first; returns how many tasks those were."""
    found = list(Task.objects.filter(names=None).order_by("pk").values_list("pk", flat=True))
    for pk in found:
        transact(partial(_name, pk))
    return len(found)


def _name(pk: int) -> None:
    task = Task.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=pk)
    if task.names is not None:
        return
    try:
        names = _names_of(task)
    except UsageError as error:
        _told(task, 0, f"its names are not known, and have no owner: {error}")
        return
    claim(task.pk, names.items())
    others = [each for each in owners(names) if not each.is_of(task.experiment.name, [task.name])]
    why = counted_words(len(names) - len(others), "name")
    if others:
        some = ", ".join(sorted({each.task for each in others})[:MAX_TOLD])
        more = counted_words(len(others), "other", "belongs")
        why += f"; {more} to other tasks ({some}), whose files are not written over or removed"
    _told(task, len(names) - len(others), why)


def replace_late(task: Task, earlier: str, reason: Reason) -> None:
    """Give a task the names that an ended task has as well, both stored before names had owners. Raises RefusalError.

    In a transaction. A task that was submitted later has all its names, or was refused.
    """
    refuse_if_replaced(task)
    if task.replaces_id is not None:
        raise RefusalError("conflict", f"the task {task.name} has replaced another one already.")
    try:
        names = _names_of(task)
    except UsageError as error:
        raise RefusalError("conflict", f"the names of the task {task.name} are not known: {error}") from None
    take_over(task, earlier, list(names), reason)
    claim(task.pk, names.items())
    owned = sum(each.is_of(task.experiment.name, [task.name]) for each in owners(names))
    Task.objects.filter(pk=task.pk).update(names=owned)


def _names_of(task: Task) -> dict[int, int | None]:
    """Key → job of everything that the task will publish. Raises UsageError when its profile cannot say it."""
    experiment, facts = profile_of(task.experiment.name), task_facts(task)
    forms = NameForms.of(experiment, facts)
    names: dict[int, int | None] = {}
    runs: set[int] = set()
    for pk, file, run in task.jobs.filter(product="").values_list("pk", "file", "run").iterator():
        names.update(dict.fromkeys(forms.keys(values_of(experiment, facts, file)), pk))
        if run is not None:
            runs.add(run)
    merges = Product.objects.filter(task=task).order_by("merge").values_list("merge", flat=True).distinct()
    known = [merge for merge in merges if merge in experiment.merges]
    for place in shared_places(experiment, facts, sorted(runs), known):
        names.setdefault(key_of(url_of(place)), None)
    return names


def _told(task: Task, names: int, why: str) -> None:
    Task.objects.filter(pk=task.pk).update(names=names)
    record("names", "owned" if names else "unknown", Reason(_WHO, why, "cycle"), [(task.pk, "", task.pk)])
