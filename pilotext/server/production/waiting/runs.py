"""Reasons why a run of a task waits: each of its products, and the chunks that they are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote

from django.db.models import Exists, OuterRef

from pilotext.api.schemas.waits import Wait, WaitKind
from pilotext.formatting import counted_words, noun_for
from pilotext.profile.records import Merge
from pilotext.server.production.merging.groups import ENDED, PAST_THE_CHECK
from pilotext.server.production.models import Attempt, Job, Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import STOPPED, JobState, ProductState, TaskState
from pilotext.server.production.storage.operations import MAX_TRIES
from pilotext.server.production.waiting.jobs import of_tasks_state
from pilotext.server.production.waiting.places import breakers_of, of_cycle, wait_for, with_servers
from pilotext.server.times import now

MAX_NAMED = 5
"""Jobs that a reason names."""

KEPT = (ProductState.KEPT, ProductState.CLEANED)

_NEXT_STEP = "the next step of the cycle moves it"


def of_run(
    task: Task, run: int, products: Sequence[Product], chunks: Iterable[tuple[str, int]]
) -> dict[str, tuple[Wait, ...]]:
    """Return why each product of a run waits, by the name of its merge; empty for one that is kept.

    The key '' has what holds the run's chunks where nothing is merged of them. The task comes with its experiment,
    `products` are all those of the run, each with its task, `chunks` states and numbers of its production jobs.
    """
    at = now()
    held = _Chunks(task, run, chunks)
    state = tuple(of_tasks_state(task)) if task.state != TaskState.ARCHIVING else ()
    if not products:
        return {"": (*state, *held.waits())}
    stalled = tuple(of_cycle(at))
    merges, breakers = profile_of(task.experiment.name).merges, breakers_of(task.experiment_id)
    jobs, old = _merge_jobs(products)
    found = {}
    for product in products:
        if task.state in STOPPED and product.state not in KEPT:
            found[product.merge] = (*state, *stalled)
            continue
        mine = [*_of_product(product, products, merges.get(product.merge), jobs[product.pk], at)]
        if product.state == ProductState.WAITING:
            mine = [*state, *held.waits(), *mine]
            if product.pk in old:
                why = "merge jobs of an earlier round are still running; they were asked to stop"
                mine.append(
                    wait_for("merge-jobs", why, product.changed, None, "server", "their end, or that of their leases")
                )
            mine = mine or [_cycle(product, "all its chunks have ended")]
        found[product.merge] = (*with_servers(mine, breakers), *stalled) if mine else ()
    return found


class _Chunks:
    """The production jobs of a run that have not ended."""

    def __init__(self, task: Task, run: int, chunks: Iterable[tuple[str, int]]) -> None:
        self._task, self._run = task, run
        self._open: dict[str, list[int]] = defaultdict(list)
        for state, job in sorted(chunks):
            if state not in ENDED:
                self._open[state].append(job)

    def waits(self) -> Iterator[Wait]:
        for state, jobs in self._open.items():
            what = f"{counted_words(len(jobs), 'chunk', 'is')} {state}: {_named(jobs)}"
            if state == JobState.MANUAL:
                how = (
                    f"decide on the jobs, or pilotext runs merge-without {quote(self._task.name)} --run {self._run} "
                    "--why ..."
                )
                yield wait_for("chunks", what, None, None, "expert", how)
            else:
                yield wait_for("chunks", what, None, None, "server", f"pilotext jobs show {jobs[0]} says why")


def _of_product(
    product: Product,
    products: Sequence[Product],
    rule: Merge | None,
    jobs: dict[str, list[int]],
    at: datetime,
) -> Iterator[Wait]:
    command = (
        f"pilotext runs {{}} {quote(product.task.name)} --run {product.run} --merge {quote(product.merge)} --why ..."
    )
    if product.state == ProductState.MANUAL:
        how = f"{command.format('accept')}; also remerge, merge-without, resend-missing"
        yield wait_for("person", f"it waits for a decision: {product.finding}", product.changed, None, "expert", how)
    elif product.state == ProductState.WAITING and rule is None:
        why = f"the profile knows no merge {product.merge} any more"
        yield wait_for("other-merge", why, product.changed, None, "manager", "correct the profile of the experiment")
    elif product.state == ProductState.WAITING and rule is not None:
        for other in products:
            if other.merge in rule.after and other.state not in PAST_THE_CHECK:
                why = f"the {other.merge} of its run must be checked first; it is {other.state}"
                yield wait_for("other-merge", why, other.changed, None, "server", "see there")
    elif product.state == ProductState.MERGING:
        yield from _of_merge_jobs(product, jobs)
    elif product.state == ProductState.MERGED:
        yield _cycle(product, "its merged files are to be compared with its chunks")
    elif product.state in (ProductState.CHECKED, ProductState.COPYING):
        yield _of_storage(product, "its merged files are copied to where they are kept", at)
    elif product.state == ProductState.KEPT and product.task.state == TaskState.ARCHIVING:
        yield _of_storage(product, "its chunk files are removed", at)


def _of_merge_jobs(product: Product, jobs: dict[str, list[int]]) -> Iterator[Wait]:
    for state, ids in sorted(jobs.items()):
        if state == JobState.FINISHED:
            continue
        who, how = "server", f"pilotext jobs show {ids[0]} says why"
        if state == JobState.MANUAL:
            who, how = "expert", f"pilotext jobs resend {ids[0]} --why ..., or merge the run again"
        what = f"{counted_words(len(ids), 'merge job', 'is')} {state}: {_named(ids)}"
        yield wait_for("merge-jobs", what, product.changed, None, "expert" if who == "expert" else "server", how)
    if not {*jobs} - {JobState.FINISHED}:
        yield _cycle(product, "all its merge jobs have finished")


def _of_storage(product: Product, what: str, at: datetime) -> Wait:
    """Yield the wait of a step that works on storage: it is at work, or waits after a failure."""
    kind: WaitKind = "cleaning" if product.state == ProductState.KEPT else "copying"
    if not product.tries:
        how = "the cycle does it, one product at a time"
        return wait_for(kind, what, product.changed, None, "server", how)
    until = product.busy_until if product.busy_until > at else None
    tries = f"{product.tries} of {MAX_TRIES} tries" if kind == "copying" else counted_words(product.tries, "try")
    why = f"{what}; {tries} failed, the last by: {product.finding}"
    return wait_for(kind, why, product.changed, until, "server", "the cycle tries it again then")


def _named(jobs: Sequence[int]) -> str:
    more = ", ..." if len(jobs) > MAX_NAMED else ""
    return f"{noun_for(len(jobs), 'job')} {', '.join(map(str, jobs[:MAX_NAMED]))}{more}"


def _cycle(product: Product, what: str) -> Wait:
    return wait_for("cycle", what, product.changed, None, "server", _NEXT_STEP)


def _merge_jobs(products: Sequence[Product]) -> tuple[Mapping[int, dict[str, list[int]]], set[int]]:
    """Return the merge jobs of the round that counts, by product and state, and waiting products with older ones.

    Those are products of which merge jobs of an earlier round are still at work.
    """
    found: defaultdict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    old: set[int] = set()
    of_product = {each.pk: each for each in products}
    busy = Exists(Attempt.objects.active().filter(job=OuterRef("pk")))
    rows = Job.objects.filter(group__product__in=of_product).order_by("pk")
    for number, round_, state, pk, at_work in rows.values_list("group__product", "group__round", "state", "pk", busy):
        product = of_product[number]
        if round_ == product.round:
            found[number][state].append(pk)
        if at_work and product.state == ProductState.WAITING and product.round > 1:
            old.add(number)
    return found, old
