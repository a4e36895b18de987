"""Is a merged run what its chunks were? Pure functions; every difference is a sentence.

Nothing passes because there is nothing: a number that nobody counted, and one that is 0, are differences too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pilotext.model import Record
from pilotext.profile.records import CrossCheck


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
    """What does not fit between all chunks and all merged files of a run; empty when it is one whole."""
    if not chunks or not merged:
        return ["nothing was merged: no events are no proof."]
    found = list(_uncounted([*chunks, *merged]))
    if rule.by == "size":
        found += _unequal("bytes", "the merged files", _sum(merged, "size"), "the chunks", _sum(chunks, "size"))
    if found:
        return found
    total = _sum(merged, "events")
    found += _unequal("events", "the merged files", total, "the chunks", _sum(chunks, "events"))
    if total == 0:
        found.append("the merged files hold no events at all.")
    if rule.by == "events":
        found += [f"{chunk.name} holds no events." for chunk in chunks if not chunk.events]
        found += _processed(rule, chunks, total)
    if rule.catalogue:
        found += list(_against_catalogue(chunks))
    return found


def _uncounted(files: Iterable[Chunk | Merged]) -> Iterator[str]:
    yield from (f"nobody counted what is in {file.name}." for file in files if file.events is None)


def _processed(rule: CrossCheck, chunks: Sequence[Chunk], total: int) -> list[str]:
    unknown = [chunk.name for chunk in chunks if chunk.processed is None]
    if unknown:
        return [f"how many events were processed for {name} is not known." for name in unknown]
    processed = _sum(chunks, "processed")
    if rule.selected and total <= processed:
        return []
    return _unequal("events", "the merged files", total, "the payloads, as processed,", processed)


def _against_catalogue(chunks: Sequence[Chunk]) -> Iterator[str]:
    for chunk in chunks:
        if chunk.promised is None:
            continue
        if chunk.seen is None:
            yield f"how many events were seen for {chunk.name} is not known; the catalogue promises {chunk.promised}."
        elif chunk.seen != chunk.promised:
            yield f"for {chunk.name} {chunk.seen} events were seen, the catalogue promises {chunk.promised}."


def _unequal(what: str, one: str, here: int, other: str, there: int) -> list[str]:
    return [] if here == there else [f"{one} hold {here} {what}, {other} {there}."]


def _sum(files: Sequence[Chunk | Merged], field: str) -> int:
    return sum(getattr(file, field) or 0 for file in files)
