"""Runs of a task and their merged products, each page by a few queries whatever the number of jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from django.db.models import Count, F, Q, Sum

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
from pilotext.server.production.states import JobState

MAX_PRODUCTS = 100

MAX_CHUNKS = 100


def list_runs(task: str, *, run: int | None, state: str | None, after: int, limit: int) -> RunList:
    """A page of the runs of a task; `state` is that of one of its products. Raises RefusalError for no such task."""
    return runs_of(tasks_named(task)[0], run=run, state=state, after=after, limit=limit)


def runs_of(row: Task, *, run: int | None, state: str | None, after: int, limit: int) -> RunList:
    """A page of the runs of this task, as `list_runs`."""
    jobs = Job.objects.filter(task=row, product="", run__gt=after)
    if run is not None:
        jobs = jobs.filter(run=run)
    if state is not None:
        jobs = jobs.filter(run__in=Product.objects.filter(task=row, state=state).values("run"))
    numbers = jobs.values_list("run", flat=True).distinct().order_by("run")
    found = [number for number in numbers[: limit + 1] if number is not None]
    if not found and not after and run is not None:
        refuse_unknown_run(run, row)
    page = found[:limit]
    return RunList(tuple(_runs(row, page)), page[-1] if len(found) > limit else None)


def describe_run(task: int, number: int) -> RunPage:
    """A run of a task with why it is not further. Raises RefusalError when there is none."""
    row = Task.objects.select_related("experiment").filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    if number >= 2**31:
        raise RefusalError("not-found", f"there is no run {number}.")
    refuse_unknown_run(number, row)
    (found,) = _runs(row, [number])
    products = list_products(task=None, of_tasks=[row], run=number, limit=MAX_PRODUCTS).products
    return RunPage(found, products, waiting.of_run(row, number), tuple(_odd_chunks(row, number)))


def _odd_chunks(task: Task, number: int) -> Iterator[ChunkEvents]:
    """Chunks that skipped events, or whose events are not as many as the catalogue promises."""
    jobs = Job.objects.filter(task=task, run=number, product="", events_done__isnull=False)
    odd = jobs.filter(Q(events_skipped__gt=0) | ~Q(events_done=F("events")) & Q(events__isnull=False))
    for job in odd.order_by("chunk", "pk")[:MAX_CHUNKS]:
        skipped = job.events_skipped
        processed = None if job.events_done is None or skipped is None else job.events_done - skipped
        yield ChunkEvents(job.pk, job.chunk, job.events, processed, skipped)


def _runs(task: Task, numbers: list[int]) -> Iterator[RunRow]:
    jobs: defaultdict[int | None, dict[str, int]] = defaultdict(dict)
    counted = Job.objects.filter(task=task, run__in=numbers, product="").values_list("run", "state")
    for run, state, number in counted.annotate(Count("pk")):
        jobs[run][state] = number
    products: defaultdict[int, dict[str, str]] = defaultdict(dict)
    findings: defaultdict[int, dict[str, str]] = defaultdict(dict)
    merged: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for product in Product.objects.filter(task=task, run__in=numbers).order_by("pk"):
        products[product.run][product.merge] = product.state
        if product.events is not None:
            merged[product.run][product.merge] = product.events
        if product.finding:
            findings[product.run][product.merge] = product.finding
    events = _events(task, numbers, merged)
    for run in numbers:
        yield RunRow(task.name, run, jobs[run], products[run], findings[run], events[run])


def _events(task: Task, numbers: list[int], merged: Mapping[int, dict[str, int]]) -> dict[int, RunEvents]:
    """The events of these runs, summed up over their chunks."""
    jobs = Job.objects.filter(task=task, run__in=numbers, product="").order_by().values_list("run")
    known = Q(events_done__isnull=False, events_skipped__isnull=False)
    summed = jobs.annotate(
        promised=Sum("events"),
        processed=Sum(F("events_done") - F("events_skipped"), filter=known),
        skipped=Sum("events_skipped"),
        unknown=Count("pk", filter=Q(state=JobState.FINISHED) & ~known),
    )
    return {
        run: RunEvents(catalogue, processed, skipped, merged.get(run, {}), unknown)
        for run, catalogue, processed, skipped, unknown in summed
        if run is not None
    }


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
            **{name: getattr(row, name) for name in same},
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
