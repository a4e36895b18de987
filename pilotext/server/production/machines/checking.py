"""The cross-check of merged runs: what passes goes on by itself, what does not waits for somebody's decision."""

from __future__ import annotations

from collections.abc import Sequence

from pilotext.model.report import Report
from pilotext.profile.records import CrossCheck
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.apart import each_apart
from pilotext.server.production.crosscheck import Chunk, Merged, differences
from pilotext.server.production.models import Evidence, Output, Product
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import PRODUCT

AT_ONCE = 100

_WHO = "cross-check"


def check_merged() -> int:
    """Merged runs are compared with their chunks, and with the catalogue where the profile says so."""
    due = Product.objects.filter(state="merged").select_related("task__experiment").order_by("pk")[:AT_ONCE]
    return each_apart(due, _check)


def _check(product: Product) -> int:
    rule = profile_of(product.task.experiment.name).merges[product.merge]
    chunks, merged = _files(product)
    found, passed = _judge(product, rule.check, chunks, merged)
    mine = Product.objects.filter(pk=product.pk, round=product.round)
    if found:
        why = " ".join(found)
        return len(
            transact(lambda: advance(PRODUCT, mine, ("merged",), "manual", Reason(_WHO, why, "cycle"), finding=why))
        )
    events = sum(output.events or 0 for output in merged)
    return len(
        transact(lambda: advance(PRODUCT, mine, ("merged",), "checked", Reason(_WHO, passed, "cycle"), events=events))
    )


def _files(product: Product) -> tuple[list[Output], list[Output]]:
    """The chunk files that were merged in this round, and the merged files."""
    same = {"product": product, "round": product.round}
    inputs = Output.objects.filter(**{f"group__{name}": value for name, value in same.items()})
    made = Output.objects.filter(state="valid", **{f"job__group__{name}": value for name, value in same.items()})
    return list(inputs.select_related("job").order_by("job__chunk", "pk")), list(made.order_by("pk"))


def _judge(
    product: Product, rule: CrossCheck | None, chunks: Sequence[Output], merged: Sequence[Output]
) -> tuple[list[str], str]:
    """What is wrong, and what is said when nothing is."""
    groups = product.groups.filter(round=product.round).exclude(state="dissolved").count()
    if groups == 0:
        return [], "there was nothing to merge: every chunk is without data, or left out by decision"
    if len({output.job_id for output in merged}) != groups:
        return [f"{groups} merge jobs finished and left {len(merged)} files."], ""
    if superseded := [output.name for output in chunks if output.state != "valid"]:
        return [f"{superseded[0]} was made anew after it was merged."], ""
    if rule is None:
        return [], "the merged files are there; the profile asks for no cross-check"
    counted = _chunks(rule, chunks)
    found = differences(rule, counted, [Merged(each.name, each.size, each.events) for each in merged])
    total = sum(each.events or 0 for each in merged)
    size = sum(each.size for each in merged)
    return found, f"{len(merged)} merged files hold the {total} events of {len(counted)} chunks, {size} bytes"


def _chunks(rule: CrossCheck, outputs: Sequence[Output]) -> list[Chunk]:
    counters = _counters(outputs) if rule.by == "events" else {}
    return [
        Chunk(
            name=output.name,
            size=output.size,
            events=output.events,
            processed=counters.get(output.attempt_id),
            seen=output.job.events_done,
            promised=output.job.events,
        )
        for output in outputs
    ]


def _counters(outputs: Sequence[Output]) -> dict[int, int]:
    """Events processed, by attempt, from the reports."""
    reports = Evidence.objects.filter(attempt__in=[output.attempt_id for output in outputs])
    found = {}
    for attempt, text in reports.values_list("attempt_id", "report").iterator():
        processed = from_json(text, Report).verdict.counters.get("events_processed")
        if processed is not None:
            found[attempt] = int(processed)
    return found
