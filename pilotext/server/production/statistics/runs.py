"""Runs of a task and their merged products, each page by a few queries whatever the number of jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum

from pilotext.api.schemas.runs import (
    ChunkEvents,
    MergedFile,
    ProductList,
    ProductRow,
    RunEvents,
    RunList,
    RunPage,
    RunRow,
)
from pilotext.server.production import waiting
from pilotext.server.production.lookup import (
    refuse_unknown_merge,
    refuse_unknown_run,
    tasks_named,
)
from pilotext.server.production.models import (
    Job,
    Output,
    Product,
    Task,
)
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JobState, ProductState
from pilotext.server.times import record_fields

MAX_PRODUCTS = 100

MAX_CHUNKS = 100


def list_runs(task: str, *, run: int | None, state: str | None, after: int | None, limit: int) -> RunList:
    """A page of the runs of a task; `state` is that of one of its products. Raises RefusalError for no such task."""
    return runs_of(tasks_named(task)[0], run=run, state=state, after=after, limit=limit)


def runs_of(row: Task, *, run: int | None, state: str | None, after: int | None, limit: int) -> RunList:
    """A page of the runs of this task, as `list_runs`; it begins after the run `after`, or with the first one."""
    jobs = _chunks_after(row, after)
    if run is not None:
        jobs = jobs.filter(run=run)
    if state is not None:
        jobs = jobs.filter(run__in=Product.objects.filter(task=row, state=state).values("run"))
    counted = _count_chunks([row], jobs.values_list("run", flat=True).distinct().order_by("run")[: limit + 1])
    found = sorted({number for _, number in counted})
    if not found and run is not None and (after is None or after < run):
        refuse_unknown_run(run, row)
    page = found[:limit]
    rows = _run_rows([row], {(row.pk, number): counted[row.pk, number] for number in page})
    return RunList(tuple(rows), page[-1] if len(found) > limit else None)


def runs_of_tasks(tasks: Sequence[Task], *, after: int | None, limit: int, open_only: bool = False) -> RunList:
    """A page of the runs of several tasks: the rows of a run, one for each task that has it, stand together.

    `open_only`: only runs of which a task has a chunk that has not ended, or a product that is not kept.
    """
    found = _first_runs(tasks, after, limit + 1, open_only=open_only)
    page = found[:limit]
    counted = _count_chunks(tasks, page)
    order = [row.pk for row in tasks]
    keys = sorted(counted, key=lambda key: (key[1], order.index(key[0])))
    rows = _run_rows(tasks, {key: counted[key] for key in keys})
    return RunList(tuple(rows), page[-1] if len(found) > limit else None)


_ENDED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
_KEPT = (ProductState.KEPT, ProductState.CLEANED)


def _quoted(states: Iterable[str]) -> str:
    return ", ".join(f"'{state!s}'" for state in states)


_FIRST_RUNS_OF_TASK = """
SELECT run FROM (
    SELECT DISTINCT run FROM production_job WHERE task_id = %s AND product = '' AND run > %s ORDER BY run LIMIT %s
) AS runs
"""


_OPEN_RUNS_OF_TASK = f"""
SELECT run FROM (
    SELECT DISTINCT run FROM production_job
    WHERE task_id = %s AND product = '' AND run > %s AND state NOT IN ({_quoted(_ENDED)}) ORDER BY run LIMIT %s
) AS jobs
UNION SELECT run FROM (
    SELECT DISTINCT run FROM production_product
    WHERE task_id = %s AND run > %s AND state NOT IN ({_quoted(_KEPT)}) ORDER BY run LIMIT %s
) AS products
"""  # noqa: S608  the states are ours


def _first_runs(tasks: Sequence[Task], after: int | None, limit: int, *, open_only: bool) -> list[int]:
    """Return the first runs of several tasks, by one query.

    A limit for each task lets the index give its runs; without it, all jobs of all tasks are read. SQLite takes such
    limits only within parentheses, which Django does not write.
    """
    begin = -1 if after is None else after
    of_task = _OPEN_RUNS_OF_TASK if open_only else _FIRST_RUNS_OF_TASK
    statement = " UNION ".join([of_task] * len(tasks)) + " ORDER BY run LIMIT %s"
    values = [value for task in tasks for value in (task.pk, begin, limit) * (2 if open_only else 1)]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, limit])
        return [run for (run,) in cursor.fetchall()]


def _chunks_after(row: Task, after: int | None) -> QuerySet[Job]:
    """Return the production jobs of runs after this one; of all runs, also number 0, where none is named."""
    jobs = Job.objects.filter(task=row, product="", run__isnull=False)
    return jobs if after is None else jobs.filter(run__gt=after)


@dataclass(frozen=True)
class RunDescription:
    """The page of a run with the rows that it was made of: a few queries for all of them."""

    row: Task
    page: RunPage
    chunks: tuple[CountedChunk, ...]


class CountedChunk(NamedTuple):
    """A production job of a run with its events."""

    job: int
    chunk: int | None
    event_range: int
    state: str
    promised: int | None
    done: int | None
    skipped: int | None


def describe_run(task: int, number: int) -> RunPage:
    """A run of a task with why it is not further. Raises RefusalError when there is none."""
    return run_description(task, number).page


def run_description(task: int, number: int) -> RunDescription:
    """A run of a task with why it is not further, and all its chunks. Raises RefusalError when there is none."""
    row = Task.objects.select_related("experiment").filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    if number >= 2**31:
        raise RefusalError("not-found", f"there is no run {number}.")
    jobs = Job.objects.chunks(row, number).order_by("chunk", "pk")
    columns = ("pk", "chunk", "event_range", "state", "events", "events_done", "events_skipped")
    chunks = tuple(CountedChunk(*values) for values in jobs.values_list(*columns))
    if not chunks:
        refuse_unknown_run(number, row)
    products = list(Product.objects.filter(task=row, run=number).order_by("pk"))
    for product in products:
        product.task = row  # which is there already
    (found,) = _run_rows([row], {(row.pk, number): _count(chunks)}, products)
    waits = waiting.of_run(row, number, products=products, chunks=[(each.state, each.job) for each in chunks])
    page = RunPage(found, _rows(products[:MAX_PRODUCTS]), waits, tuple(_odd_chunks(chunks)))
    return RunDescription(row, page, chunks)


def _odd_chunks(chunks: Iterable[CountedChunk]) -> Iterator[ChunkEvents]:
    """The first chunks that skipped events, or whose events are not as many as the catalogue promises."""
    odd = (
        each
        for each in chunks
        if each.done is not None and (each.skipped or (each.promised is not None and each.done != each.promised))
    )
    for each in islice(odd, MAX_CHUNKS):
        processed = None if each.done is None or each.skipped is None else each.done - each.skipped
        yield ChunkEvents(each.job, each.chunk, each.promised, processed, each.skipped)


@dataclass
class _Counted:
    """The chunks of a run by state, and their events; None where they are known of no chunk."""

    jobs: dict[str, int] = field(default_factory=dict)
    promised: int | None = None
    processed: int | None = None
    skipped: int | None = None
    unknown: int = 0

    def add(self, state: str, number: int, *events: int | None, unknown: int) -> None:
        """Add chunks in one state with the sums of their events: promised, processed, skipped."""
        self.jobs[state] = self.jobs.get(state, 0) + number
        before = (self.promised, self.processed, self.skipped)
        self.promised, self.processed, self.skipped = (
            old if new is None else new + (old or 0) for old, new in zip(before, events, strict=True)
        )
        self.unknown += unknown


def _count_chunks(
    tasks: Sequence[Task], runs: QuerySet[Job, int | None] | Sequence[int]
) -> dict[tuple[int, int], _Counted]:
    """Return the chunks and events of these runs, by task and run; by one query."""
    known = Q(events_done__isnull=False, events_skipped__isnull=False)
    rows = Job.objects.filter(task__in=[row.pk for row in tasks], run__in=runs, product="").order_by()
    summed = rows.values_list("task_id", "run", "state").annotate(
        number=Count("pk"),
        promised=Sum("events"),
        processed=Sum(F("events_done") - F("events_skipped"), filter=known),
        skipped=Sum("events_skipped"),
        unknown=Count("pk", filter=Q(state=JobState.FINISHED) & ~known),
    )
    found: defaultdict[tuple[int, int], _Counted] = defaultdict(_Counted)
    for task, run, state, number, promised, processed, skipped, unknown in summed:
        if run is not None:
            found[task, run].add(state, number, promised, processed, skipped, unknown=unknown)
    return found


def _count(chunks: Iterable[CountedChunk]) -> _Counted:
    """Return the same of one run from its chunks."""
    found = _Counted()
    for each in chunks:
        known = each.done is not None and each.skipped is not None
        processed = each.done - each.skipped if each.done is not None and each.skipped is not None else None
        unknown = each.state == JobState.FINISHED and not known
        found.add(each.state, 1, each.promised, processed, each.skipped, unknown=unknown)
    return found


def _run_rows(
    tasks: Sequence[Task], counted: Mapping[tuple[int, int], _Counted], known: Iterable[Product] | None = None
) -> Iterator[RunRow]:
    """Yield the rows of these runs in this order; `known` are their products, read where the caller has none."""
    if known is None:
        numbers = {run for _, run in counted}
        known = Product.objects.filter(task__in=[row.pk for row in tasks], run__in=numbers).order_by("pk")
    products: defaultdict[tuple[int, int], list[Product]] = defaultdict(list)
    for product in known:
        products[product.task_id, product.run].append(product)
    names = {row.pk: row.name for row in tasks}
    for (task, run), each in counted.items():
        mine = products[task, run]
        merged = {product.merge: product.events for product in mine if product.events is not None}
        events = RunEvents(each.promised, each.processed, each.skipped, merged, each.unknown)
        states = {product.merge: product.state for product in mine}
        findings = {product.merge: product.finding for product in mine if product.finding}
        yield RunRow(names[task], run, each.jobs, states, findings, events)


def list_products(
    *,
    task: str | None = None,
    of_tasks: Sequence[Task] | None = None,
    run: int | None = None,
    merge: str | None = None,
    state: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> ProductList:
    """A page of products in the order of their ids; the task is given by its name, or as its row."""
    tasks = of_tasks if task is None else tasks_named(task)
    asked = {"task__in": tasks, "run": run, "merge": merge, "state": state}
    rows = Product.objects.filter(pk__gt=after).select_related("task").order_by("pk")
    found = list(rows.filter(**{name: value for name, value in asked.items() if value is not None})[: limit + 1])
    if not found and not after:
        if run is not None:
            refuse_unknown_run(run, tasks[0] if tasks else None)
        if merge is not None:
            refuse_unknown_merge(merge)
    page = found[:limit]
    return ProductList(_rows(page), page[-1].pk if len(found) > limit else None)


def describe_product(product_id: int) -> ProductRow:
    """One product. Raises RefusalError if there is none."""
    found = list(Product.objects.filter(pk=product_id).select_related("task"))
    if not found:
        raise RefusalError("not-found", f"there is no product {product_id}.")
    return _rows(found)[0]


def _rows(page: Sequence[Product]) -> tuple[ProductRow, ...]:
    files = _files(page)
    same = ("run", "merge", "state", "round", "events", "finding", "changed")
    return tuple(
        ProductRow(
            product=row.pk,
            task=row.task.name,
            left_out=tuple(row.left_out),
            files=tuple(files[row.pk]),
            **record_fields(row, same),
        )
        for row in page
    )


def _files(page: Sequence[Product]) -> defaultdict[int, list[MergedFile]]:
    outputs = Output.objects.valid().filter(
        job__group__product__in=page, job__group__round=F("job__group__product__round")
    )
    files: defaultdict[int, list[MergedFile]] = defaultdict(list)
    counted = outputs.annotate(of=F("job__group__product"), inputs=Count("job__group__inputs"))
    for row in counted.order_by("job__group__number").values("of", *MergedFile.__struct_fields__):
        files[row.pop("of")].append(MergedFile(**row))
    return files
