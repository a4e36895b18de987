"""Pages of merged runs, each by two queries whatever the size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Count, F

from pilotext.api.schemas.runs import MergedFile, ProductList, ProductRow
from pilotext.server.production.models import Output, Product, Task
from pilotext.server.production.named import refuse_unknown_merge, refuse_unknown_run, tasks_named
from pilotext.server.production.refusal import RefusalError


def products(
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


def product(product_id: int) -> ProductRow:
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
    outputs = Output.objects.filter(
        job__group__product__in=page, job__group__round=F("job__group__product__round"), state="valid"
    )
    files: defaultdict[int, list[MergedFile]] = defaultdict(list)
    counted = outputs.annotate(of=F("job__group__product"), inputs=Count("job__group__inputs"))
    for output in counted.order_by("job__group__number"):
        same = {name: getattr(output, name) for name in MergedFile.__struct_fields__}
        files[output.of].append(MergedFile(**same))
    return files
