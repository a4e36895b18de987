"""Runs of a task and their merged products."""

from __future__ import annotations

from typing import Literal

from pilotext.api.schemas.fields import Id, Limit, Number
from pilotext.api.schemas.waits import Wait
from pilotext.model import Record

ProductState = Literal["waiting", "merging", "merged", "checked", "copying", "kept", "cleaned", "manual"]


class ProductFilter(Record, frozen=True):
    """Choice of products; the page begins after the id `after`."""

    task: str | None = None
    run: Number | None = None
    merge: str | None = None
    state: ProductState | None = None
    after: Id = 0
    limit: Limit = 100


class MergedFile(Record, frozen=True):
    """A merged file: how many bytes and events it holds, where the merge put it, where it is kept once verified."""

    name: str
    url: str
    kept: str
    size: int
    adler32: str
    events: int | None
    inputs: int


class ProductRow(Record, frozen=True):
    """Product of one kind of output of one run. `left_out` are the jobs that it was merged without."""

    product: int
    task: str
    run: int
    merge: str
    state: str
    round: int
    left_out: tuple[int, ...]
    events: int | None
    finding: str
    files: tuple[MergedFile, ...]
    changed: float


class ProductList(Record, frozen=True):
    """A page of products; `after` of the next request is `next`, None at the end."""

    products: tuple[ProductRow, ...]
    next: int | None


class RunQuery(Record, frozen=True):
    task: str
    run: Number | None = None
    state: ProductState | None = None
    """Of one of its products."""
    after: Number | None = None
    limit: Limit = 100


class RunEvents(Record, frozen=True):
    """Events of a run, over its chunks: those that the catalogue promises, those processed, skipped, and merged.

    None is not known of any chunk; `unknown` counts finished chunks whose payload counted none.
    """

    catalogue: int | None
    processed: int | None
    skipped: int | None
    merged: dict[str, int]
    unknown: int


class RunRow(Record, frozen=True):
    """A run of a task: its production jobs by state, its events, and what became of each product."""

    task: str
    run: int
    jobs: dict[str, int]
    products: dict[str, str]
    findings: dict[str, str] = {}
    events: RunEvents | None = None


class ChunkEvents(Record, frozen=True):
    """The events of a chunk that skipped some, or does not have those that the catalogue promises."""

    job: int
    chunk: int | None
    catalogue: int | None
    processed: int | None
    skipped: int | None


class RunPage(Record, frozen=True):
    """Everything about a run of a task: its products with their files, and why each is not further.

    The key of `waits` is the merge, empty for the chunks of a run of which nothing is merged. `chunks` are those whose
    events are not as the catalogue promises, at most 100.
    """

    run: RunRow
    products: tuple[ProductRow, ...]
    waits: dict[str, tuple[Wait, ...]]
    chunks: tuple[ChunkEvents, ...]


class RunList(Record, frozen=True):
    runs: tuple[RunRow, ...]
    next: int | None
