"""Is a merged run what its chunks were? Pure functions; every difference is a sentence.

Nothing passes because there is nothing: a number that nobody counted, and one that is 0, are differences too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pilotext.formatting import counted_words
from pilotext.model import Record
from pilotext.model.report import Report
from pilotext.profile.records import CrossCheck
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.models import AttemptReport, Output, Product
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import GOING_ON, PRODUCT, MergeGroupState, OutputState, ProductState
from pilotext.server.production.transitions import Reason, advance

MAX_NAMED = 20
"""Files that a difference names."""


class Chunk(Record, frozen=True):
    """A chunk that was merged: what its output holds, what its payload went through, what the catalogue promised.

    `processed` is without the events that the payload skipped, `seen` with them.
    """

    name: str
    size: int
    events: int | None
    processed: int | None = None
    seen: int | None = None
    promised: int | None = None


class Merged(Record, frozen=True):
    """A merged file, by the report of the job that made it."""

    name: str
    size: int
    events: int | None


def differences(rule: CrossCheck, chunks: Sequence[Chunk], merged: Sequence[Merged]) -> list[str]:
    """Return the differences between all chunks and all merged files of a run; empty when they agree."""
    if not chunks or not merged:
        return ["nothing was merged: without events nothing is proven."]
    found = [] if rule.by == "bytes" else _uncounted([*chunks, *merged])
    if rule.by in ("size", "bytes"):
        found += _unequal("byte", "the merged files", _sum(merged, "size"), "the chunks", _sum(chunks, "size"))
    if found:
        return found
    if rule.by == "bytes":
        return list(_against_catalogue(chunks)) if rule.catalogue else []
    total = _sum(merged, "events")
    found += _unequal("event", "the merged files", total, "the chunks", _sum(chunks, "events"))
    if total == 0:
        found.append("the merged files hold no events at all.")
    if rule.by == "events":
        found += [f"{chunk.name} holds no events." for chunk in chunks if not chunk.events]
        found += _processed(rule, chunks, total)
    if rule.catalogue:
        found += list(_against_catalogue(chunks))
    return found


_NOT_COUNTED = (
    "If the profile has no `check` for these outputs that counts them, take `check` out of the merge in the profile, or"
    " give the outputs a `check`."
)


def _uncounted(files: Iterable[Chunk | Merged]) -> list[str]:
    names = [file.name for file in files if file.events is None]
    found = [f"the content of {name} was not counted." for name in names[:MAX_NAMED]]
    if len(names) > MAX_NAMED:
        found.append(f"the content of {counted_words(len(names) - MAX_NAMED, 'more file')} was not counted.")
    return [*found, _NOT_COUNTED] if found else []


def _processed(rule: CrossCheck, chunks: Sequence[Chunk], total: int) -> list[str]:
    unknown = [chunk.name for chunk in chunks if chunk.processed is None]
    if unknown:
        return [f"how many events were processed for {name} is not known." for name in unknown]
    processed = _sum(chunks, "processed")
    if rule.selected and total <= processed:
        return []
    return _unequal("event", "the merged files", total, "the payloads, as processed,", processed)


def _against_catalogue(chunks: Sequence[Chunk]) -> Iterator[str]:
    for chunk in chunks:
        if chunk.promised is None:
            continue
        if chunk.seen is None:
            yield f"how many events were seen for {chunk.name} is not known; the catalogue promises {chunk.promised}."
        elif chunk.seen != chunk.promised:
            seen = counted_words(chunk.seen, "event", "was")
            yield f"for {chunk.name} {seen} seen, the catalogue promises {chunk.promised}."


def _unequal(what: str, one: str, here: int, other: str, there: int) -> list[str]:
    return [] if here == there else [f"{one} hold {counted_words(here, what)}, {other} {there}."]


def _sum(files: Sequence[Chunk | Merged], field: str) -> int:
    return sum(getattr(file, field) or 0 for file in files)


AT_ONCE = 100

_WHO = "cross-check"


def check_merged() -> int:
    """Merged runs are compared with their chunks, and with the catalogue where the profile says so."""
    merged = Product.objects.filter(state=ProductState.MERGED, task__state__in=GOING_ON)
    return collect_failures(merged.select_related("task__experiment").order_by("pk")[:AT_ONCE], _check)


def _check(product: Product) -> int:
    rule = profile_of(product.task.experiment.name).merges[product.merge]
    chunks, merged = _files(product)
    found, passed = _judge(product, rule.check, chunks, merged)
    mine = Product.objects.filter(pk=product.pk, round=product.round)
    if found:
        why = " ".join(found)
        return len(
            transact(
                lambda: advance(
                    PRODUCT, mine, (ProductState.MERGED,), ProductState.MANUAL, Reason(_WHO, why, "cycle"), finding=why
                )
            )
        )
    counted = [output.events for output in merged if output.events is not None]
    events = sum(counted) if counted else None
    return len(
        transact(
            lambda: advance(
                PRODUCT,
                mine,
                (ProductState.MERGED,),
                ProductState.CHECKED,
                Reason(_WHO, passed, "cycle"),
                events=events,
            )
        )
    )


def _files(product: Product) -> tuple[list[Output], list[Output]]:
    """The chunk files that were merged in this round, and the merged files."""
    same = {"product": product, "round": product.round}
    inputs = Output.objects.filter(**{f"group__{name}": value for name, value in same.items()})
    made = Output.objects.valid().filter(**{f"job__group__{name}": value for name, value in same.items()})
    return list(inputs.select_related("job").order_by("job__chunk", "pk")), list(made.order_by("pk"))


def _judge(
    product: Product, rule: CrossCheck | None, chunks: Sequence[Output], merged: Sequence[Output]
) -> tuple[list[str], str]:
    """Return the differences, and the line for the audit trail when there are none."""
    groups = product.groups.filter(round=product.round).exclude(state=MergeGroupState.DISSOLVED).count()
    if groups == 0:
        return [], "there was nothing to merge: every chunk is without data, or left out by decision"
    if len({output.job_id for output in merged}) != groups:
        left = counted_words(len(merged), "file")
        return [f"{counted_words(groups, 'merge job')} finished and left {left}."], ""
    if superseded := [output.name for output in chunks if output.state != OutputState.VALID]:
        return [f"{superseded[0]} was produced again after it was merged."], ""
    if rule is None:
        return [], "the merged files are there; the profile asks for no cross-check"
    counted = _chunks(rule, chunks)
    found = differences(rule, counted, [Merged(each.name, each.size, each.events) for each in merged])
    total = sum(each.events or 0 for each in merged)
    size = sum(each.size for each in merged)
    hold = f"{size} bytes" if rule.by == "bytes" else counted_words(total, "event")
    more = "" if rule.by == "bytes" else f", {size} bytes"
    files = counted_words(len(merged), "merged file", "holds")
    return found, f"{files} the {hold} of {counted_words(len(counted), 'chunk')}{more}"


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
    reports = AttemptReport.objects.filter(attempt__in=[output.attempt_id for output in outputs])
    found = {}
    for attempt, text in reports.values_list("attempt_id", "report").iterator():
        processed = from_json(text, Report).verdict.counters.get("events_processed")
        if processed is not None:
            found[attempt] = int(processed)
    return found
