"""Page of a run of a task: its chunks, its products with their files, why each is not further, and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.runs import ProductRow, RunPage, RunRow
from pilotext.api.schemas.waits import Wait
from pilotext.formatting import counted_words
from pilotext.server.pages.access import may, page
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.queries import address, whole_number
from pilotext.server.pages.refreshing import marks_of_task, refreshed
from pilotext.server.pages.templatetags.pages import Tone, tone
from pilotext.server.production.manual_decisions import merged_runs
from pilotext.server.production.models import LogArchive, Product, StagedFile, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JOB, PRODUCT, JobState, ProductState
from pilotext.server.production.statistics.runs import describe_run, run_description

MAX_CELLS = 500
"""Chunks that are drawn; the rest is in the list of jobs."""

CHUNKS_OF_A_BUILDER = 1000
"""The number of a chunk is that of its event builder, and three digits."""

OPEN = tuple(state for state in JOB.states if state not in ("finished", "failed", "cancelled", "manual"))

NOT_SUCCEEDED = (JobState.FAILED, JobState.CANCELLED, JobState.MANUAL)


@dataclass(frozen=True)
class RunPart:
    """A part of a bar: jobs in one state, and their share in steps of five of a hundred."""

    state: str
    tone: Tone
    jobs: int
    share: int


@dataclass(frozen=True)
class HeldBy:
    """Reason that a run is not kept yet, and the page that lists it; `link` is empty where there is none."""

    words: str
    link: str = ""


@dataclass(frozen=True)
class ChunkCell:
    """A chunk of a run in the map."""

    job: int
    number: str
    state: str


@dataclass(frozen=True)
class ChunkLine:
    """The chunks of one event builder."""

    builder: str
    cells: tuple[ChunkCell, ...]


def _label(chunk: int, event_range: int) -> str:
    return f"{chunk % CHUNKS_OF_A_BUILDER:03d}" + (f"/{event_range}" if event_range else "")


@dataclass(frozen=True)
class RunDecision:
    """A decision on a product, and what it does."""

    word: str
    effect: str


@dataclass(frozen=True)
class ShownProduct:
    """A product with why it is not further, and what can be decided on it."""

    row: ProductRow
    waits: tuple[Wait, ...]
    decisions: tuple[RunDecision, ...]


@page("viewer")
@refreshed(marks_of_task)
def show(request: HttpRequest, task: int, run: int) -> HttpResponse:
    """Show a run of a task."""
    described = run_description(task, run)
    found, chunks = described.page, described.chunks
    allowed = may(request, "expert")
    words = {
        "page": found,
        "run": found.run,
        "task": task,
        "parts": parts_of(found.run),
        "total": sum(found.run.jobs.values()),
        "held": held_by(found.run),
        "lines": list(
            chunk_lines([(each.job, each.chunk, each.event_range, each.state) for each in chunks[:MAX_CELLS]])
        ),
        "more": len(chunks) > MAX_CELLS,
        "products": [
            ShownProduct(row, found.waits.get(row.merge, ()), tuple(decisions_on(row, found.run)) if allowed else ())
            for row in found.products
        ],
        "chunk_waits": found.waits.get("", ()),
        "staged": list(staged_of(described.row, run)),
        "archive": LogArchive.objects.filter(task=task, run=run).first(),
    }
    return render(request, "pages/run.html", words)


@page("viewer")
def urls(request: HttpRequest, task: int, run: int) -> HttpResponse:  # noqa: ARG001
    """List the URLs of the merged files of a run, one a line; where they are kept, if they are."""
    found: RunPage = describe_run(task, run)
    lines = [f"{file.kept or file.url}\n" for product in found.products for file in product.files]
    return HttpResponse("".join(lines), content_type="text/plain; charset=utf-8")


@page("expert", methods=("POST",))
def decide(request: HttpRequest, task: int, run: int) -> HttpResponse:
    """Carry out a decision on a product of a run, and go back to the run."""
    text = request.POST.get("product", "")
    number = whole_number(text)
    if number is None or not Product.objects.filter(pk=number, task=task, run=run).exists():
        raise RefusalError("not-found", f"run {run} of task {task} has no product {text!r:.20}.")
    back = reverse("run", args=[task, run])
    return carry_out(request, "product", number, merged_runs.move_product, back=back)


def parts_of(row: RunRow) -> list[RunPart]:
    """Return the bar of a run: its jobs by state, those that have finished first."""
    total = sum(row.jobs.values()) or 1
    order = ["finished", *(state for state in JOB.states if state != "finished")]
    return [
        RunPart(state, tone(state), number, max(5, round(number / total * 20) * 5))
        for state in order
        if (number := row.jobs.get(state, 0))
    ]


def held_by(row: RunRow) -> HeldBy:
    """Return what holds a run, the most pressing first; empty where everything of it is kept."""
    chosen = {"task": row.task, "run": row.run}
    if number := row.jobs.get(JobState.MANUAL, 0):
        link = address(reverse("jobs"), **chosen, state=JobState.MANUAL, product="")
        failed = row.jobs.get(JobState.FAILED, 0)
        more = f", {failed} failed" if failed else ""
        return HeldBy(f"{counted_words(number, 'chunk')} in manual check{more}", link)
    manual = [merge for merge, state in row.products.items() if state == ProductState.MANUAL]
    if manual:
        findings = [f"{merge}: {row.findings.get(merge) or 'needs a decision'}" for merge in manual]
        return HeldBy("; ".join(findings))
    if number := sum(row.jobs.get(state, 0) for state in OPEN):
        return HeldBy(f"{counted_words(number, 'chunk')} in work")
    behind = [f"{merge} {state}" for merge, state in row.products.items() if state not in ("kept", "cleaned")]
    return HeldBy(", ".join(behind))


def chunk_lines(cells: list[tuple[int, int | None, int, str]]) -> Iterator[ChunkLine]:
    """Yield the chunks of each event builder, or the ranges of their events; those without a number come first."""
    for builder, mine in groupby(cells, lambda cell: None if cell[1] is None else cell[1] // CHUNKS_OF_A_BUILDER):
        shown = (
            ChunkCell(job, str(job) if chunk is None else _label(chunk, event_range), state)
            for job, chunk, event_range, state in mine
        )
        yield ChunkLine("" if builder is None else str(builder), tuple(shown))


def decisions_on(row: ProductRow, run: RunRow) -> Iterator[RunDecision]:
    """Yield the decisions that the state of a product allows, each with what it does."""
    chunks = sum(number for state, number in run.jobs.items() if state != JobState.FINISHED)
    busy = sum(run.jobs.get(state, 0) for state in OPEN)
    if row.state in (ProductState.WAITING, ProductState.MANUAL) and chunks and not busy:
        without = counted_words(chunks, "chunk")
        yield RunDecision("merge-without", f"merges all products of the run without its {without} without result")
    if missing := sum(run.jobs.get(state, 0) for state in NOT_SUCCEEDED) or len(row.left_out):
        yield RunDecision("resend-missing", f"runs {counted_words(missing, 'chunk')} without result again, then merges")
    if row.state == ProductState.MANUAL and row.files:
        yield RunDecision("accept", "takes the merged files as they are")
    if row.state in PRODUCT.sources(ProductState.WAITING, "person"):
        yield RunDecision(
            "remerge", f"merges {row.merge} of the run anew from its chunks; the files of now are replaced"
        )


def staged_of(task: Task, run: int) -> Iterator[StagedFile]:
    """Yield the raw files of a run that are not on disk yet, the first ones; nothing for a task without staging."""
    if task.staging:
        rows = StagedFile.objects.read_by(task=task, run=run).exclude(state__in=("online", "released"))
        yield from rows.order_by("pk")[:MAX_CELLS]
