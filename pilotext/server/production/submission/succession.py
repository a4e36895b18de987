"""Tasks that publish what another one has published: refused with the list, or an explicit successor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from django.db.models import QuerySet

from pilotext.formatting import counted_words
from pilotext.profile.records import Experiment
from pilotext.server.production.chained_inputs import READING
from pilotext.server.production.job_builder import predecessors
from pilotext.server.production.models import Attempt, Job, Output, Product, PublishedFile, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import AT_ONCE, NamesTakenError, Owned, in_parts, owners, why_replaced
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.row_leases import ROW_LEASE_S
from pilotext.server.production.states import OutputState, ProductState, TaskState
from pilotext.server.production.submission.naming import key_of, url_of, values_of
from pilotext.server.production.submission.plan import Plan
from pilotext.server.production.transitions import Reason, record
from pilotext.server.times import later, now

ENDED = (TaskState.DONE, TaskState.ARCHIVED, TaskState.CANCELLED)
"""States of a task whose names another one may take over."""

MAX_LISTED = 20

_WHO = "names"


def all_keys(plan: Plan) -> list[int]:
    """The keys of all names that a task of this plan will publish."""
    return [*plan.names.keys, *(key_of(url_of(place)) for place in plan.places)]


def taken_names(experiment: Experiment, plan: Plan, free: Collection[str]) -> NamesTakenError | None:
    """The names of a plan that belong to other tasks of than those in `free`; None when there are none."""
    taken = [each for each in owners(all_keys(plan)) if not each.is_of(experiment.name, free)]
    if not taken:
        return None
    return NamesTakenError(list(_with_urls(experiment, plan, taken[:MAX_LISTED])), len(taken))


def _with_urls(experiment: Experiment, plan: Plan, taken: list[Owned]) -> Iterator[tuple[str, Owned]]:
    wanted = {each.key: each for each in taken}
    for index, job in enumerate(plan.jobs):
        if wanted.keys().isdisjoint(plan.names.of_job(index)):
            continue
        for url in plan.names.forms.print(values_of(experiment, plan.facts, job.file.file, job.event_range)):
            if (owned := wanted.get(key_of(url))) is not None:
                yield url, owned
    for place in plan.places:
        if (owned := wanted.get(key_of(url_of(place)))) is not None:
            yield url_of(place), owned


def why_not_replaceable(task: Task) -> str:
    """Return why another task cannot take over the names of this one now, as a sentence; empty when it can."""
    if why := why_replaced(task):
        return f"{why}; replace that one."
    if task.state not in ENDED:
        return f"the task {task.name} is {task.state}; only one that is {_or(ENDED)} can be replaced."
    if task.jobs.open().exists():
        return f"the jobs of {task.name} are just being cancelled; ask again in a moment."
    if busy := Attempt.objects.active().filter(task=task).count():
        return f"{counted_words(busy, f'attempt of {task.name}', 'has')} not ended yet; ask again later."
    products = Product.objects.select_for_update().filter(task=task)  # nobody begins to copy one meanwhile
    at, copied = (
        now(),
        [each.busy_until for each in products if each.state in (ProductState.CHECKED, ProductState.COPYING)],
    )
    if any(
        at < until <= later(at, ROW_LEASE_S) for until in copied
    ):  # one that is waited with for longer is not at work
        return f"a merged file of {task.name} is being copied to where it is kept; ask again in a few minutes."
    return ""


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def predecessor_of(task: Task, name: str) -> Task:
    """The task that `task` is to replace, which nobody else changes meanwhile. Raises RefusalError."""
    rows = Task.objects.select_for_update(of=("self",)).filter(experiment=task.experiment_id, name=name)
    earlier = rows.exclude(pk=task.pk).first()
    if earlier is None:
        raise RefusalError("invalid", f"there is no task {name!r} to replace.")
    if why := why_not_replaceable(earlier):
        raise RefusalError("conflict", why)
    return earlier


def take_over(task: Task, name: str, keys: list[int], reason: Reason) -> None:
    """Names that another task owns as well are this task's from now on; in a transaction. Raises RefusalError.

    So are those that tasks which it has replaced kept, since it took over a part of their names only. The other one
    publishes, merges, keeps and removes nothing any more, and its records say that its files there are superseded.
    """
    earlier = predecessor_of(task, name)
    counts = {pk: _given_up(pk, keys) for pk in (earlier.pk, *predecessors(earlier))}
    if not any(counts.values()):
        raise RefusalError("invalid", f"the task {name} owns none of these names: leave `replaces` out.")
    Task.objects.filter(pk=task.pk).update(replaces=earlier)
    _move_followers(task, earlier)
    for pk, count in counts.items():
        if count or pk == earlier.pk:
            why = f"{reason.why}: {counted_words(count, 'name')}, {counted_words(_supersede(pk, set(keys)), 'file')}"
            record("names", f"passed to {task.name}", Reason(reason.who, why, reason.actor), [(pk, "owned", pk)])
    told = Reason(reason.who, f"{reason.why}: {counted_words(sum(counts.values()), 'name')}", reason.actor)
    record("names", f"taken over from {name}", told, [(task.pk, "", task.pk)])


def _move_followers(task: Task, earlier: Task) -> None:
    """Tasks that read the outputs of the replaced task and have not ended read those of its successor.

    Raises RefusalError where the successor reads outputs of one of them.
    """
    made = {output.kind for output in profile_of(task.experiment.name).type(task.type).outputs}
    followers = Task.objects.chained().filter(parent=earlier, input_kind__in=made, state__in=READING)
    names = dict(followers.values_list("pk", "name"))
    above = Task.objects.filter(pk=task.pk).values_list("parent", flat=True).first()
    while above is not None:
        if above in names:
            raise RefusalError(
                "conflict",
                f"the task {task.name} would read its own outputs: it replaces {earlier.name}, whose outputs"
                f" {names[above]} reads, and it reads those of {names[above]}.",
            )
        above = Task.objects.filter(pk=above).values_list("parent", flat=True).first()
    followers.update(parent=task.pk, inputs_seen=None)


def own_published(job: Job, urls: Iterable[str]) -> None:
    """Give a job the names at which its files were just found; in a transaction.

    They are its task's already, but for two tasks of one name that were stored before names had owners: there who has
    published last owns, so that archiving the other one does not remove the file.
    """
    keys = sorted(key_of(url) for url in urls)
    for pk in set(_others(job, keys).values_list("task", flat=True)):
        count = _others(job, keys).filter(task=pk).update(task=job.task_id, job=job.pk)
        told = Reason(_WHO, f"{counted_words(count, 'name')}: job {job.pk} has published there last", "cycle")
        record("names", f"passed to {job.task.name}", told, [(pk, "owned", pk)])
        if Task.objects.filter(pk=pk, state__in=ENDED).exists():
            _supersede(pk, set(keys))


def _others(job: Job, keys: list[int]) -> QuerySet[PublishedFile]:
    return PublishedFile.objects.filter(pk__in=keys).exclude(task=job.task_id)


def _given_up(task: int, keys: list[int]) -> int:
    """Take these names from a task; how many it had."""
    parts = in_parts(sorted(keys))
    return sum(PublishedFile.objects.filter(task=task, pk__in=some).delete()[0] for some in parts)


def _supersede(task: int, keys: set[int]) -> int:
    valid = Output.objects.valid().filter(job__task=task).values_list("pk", "url", "kept")
    passed = [pk for pk, url, kept in valid.iterator() if key_of(url) in keys or (kept and key_of(kept) in keys)]
    for begin in range(0, len(passed), AT_ONCE):
        Output.objects.filter(pk__in=passed[begin : begin + AT_ONCE]).update(state=OutputState.SUPERSEDED)
    return len(passed)
