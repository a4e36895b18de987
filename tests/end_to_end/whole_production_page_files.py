"""The files and events on the pages of a whole production are those of the storage, read by this process."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path

from pilotext.formats import date_raw, root_file
from pilotext.formatting import bytes_of
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.storage.base import adler32_of
from pilotext.storage.urls import canonical
from tests.end_to_end.reader import Reader, counts_of, number_of, table_of, tiles_of
from tests.end_to_end.whole_production import TASK, Production
from tests.end_to_end.whole_production_checks import MERGES
from tests.end_to_end.whole_production_faults import Place, events_of
from tests.end_to_end.whole_production_pages import viewer_of
from tests.server.pages.browsing import rows_of

from django.db.models import QuerySet  # isort: skip  needs the boot
from pilotext.server.production.models import (  # isort: skip  needs the boot
    Attempt,
    AttemptReport,
    Job,
    Output,
    Product,
    Task,
)

LOG = re.compile(r'<dt>Log</dt><dd class="mono">(\S+) <span class="muted">([^<]*)</span>')


class Stored:
    """A file on a storage server."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def size(self) -> str:
        """In the words of a page."""
        return bytes_of(self.path.stat().st_size)

    @cached_property
    def adler32(self) -> str:
        return adler32_of(self.path)

    @cached_property
    def physics(self) -> int:
        """Physics events of a raw file."""
        return date_raw.walk(self.path).physics

    @cached_property
    def is_whole(self) -> bool:
        """Whether a raw file is."""
        return date_raw.walk(self.path).damage is None

    @cached_property
    def events(self) -> int:
        """All events of a dump, the entries of an mDST or of a file of histograms."""
        if self.path.suffix == ".raw":
            raw = date_raw.walk(self.path)
            return raw.physics + raw.calibration
        found = root_file.check(self.path)
        return found.trees["phast"] if "phast" in found.trees else int(sum(found.histograms.values()))


class Storage:
    """The files of both servers by their URLs, and the jobs of the main task that read and write them."""

    def __init__(self, production: Production) -> None:
        self._production = production
        self._files: dict[str, Stored] = {}
        for server in (production.eos, production.tape):
            paths = (path for path in server.store.rglob("*") if path.is_file())
            self._files |= {canonical(server.url(str(path.relative_to(server.store)))): Stored(path) for path in paths}
        self._raws = {place: Stored(production.raw_on_tape(place)) for place in production.places}

    def has(self, url: str) -> bool:
        return canonical(url) in self._files

    def at(self, url: str) -> Stored:
        return self._files[canonical(url)]

    def raw_of(self, job: Job) -> Stored:
        """Return the raw file of a chunk, as it is on tape."""
        return self._raws[job.run or 0, job.chunk or 0]

    def merged(self, product: Product) -> Stored:
        """Return the merged file of a product, where it is kept."""
        (output,) = Output.objects.filter(job__task=product.task, job__product=product.merge, job__run=product.run)
        return self.at(output.kept)

    def good_places(self, run: int) -> list[Place]:
        """Return the chunks of a run whose raw files are whole."""
        return [place for place, raw in self._raws.items() if place[0] == run and raw.is_whole]

    def events_of_run(self, run: int) -> tuple[int, int]:
        """Return the events that the catalogue promises, and those of the good raw files."""
        promised = sum(events_of(place) for place in self._raws if place[0] == run)
        return promised, sum(self._raws[place].physics for place in self.good_places(run))

    def chunks(self, run: int) -> QuerySet[Job]:
        return Job.objects.filter(task__name=TASK, run=run, product="")

    def products(self, run: int) -> list[Product]:
        return list(Product.objects.filter(task__name=TASK, run=run).order_by("pk"))

    def equals(self, row: dict[str, str], *urls: str) -> None:
        """Compare a row of a table of files with the file at each of these addresses."""
        for url in urls:
            file = self.at(url)
            there = file.size, file.adler32, file.events
            assert (row["Size"], row["adler32"], number_of(row["Events"])) == there, (row, url, there)


def files_equal_the_storage(production: Production) -> None:
    """Every size, checksum, address and number of events on the pages of the main task is that of a file."""
    viewer, storage = viewer_of(production), Storage(production)
    task = Task.objects.get(name=TASK)
    pages = {f"/tasks/{task.pk}": "Runs with their chunks", "/period?year=2016": "Runs with a row for each task"}
    for path, caption in pages.items():
        rows = table_of(viewer.read(path), caption, "Chunks")
        for row in rows:
            assert number_of(row["Events: catalogue"]) == storage.events_of_run(int(row["Run"]))[0], row
        mine = [row for row in rows if row.get("Task", TASK) == TASK]
        assert [int(row["Run"]) for row in mine] == list(production.scale.runs)
        for row in mine:
            _row_of_a_run(storage, row)
    for run in production.scale.runs:
        _page_of_a_run(viewer, storage, task, run)
    for job in Job.objects.filter(task=task):
        _page_of_a_job(viewer, storage, job)


# ------------------------------------------------------------------------------------------------------------- runs


def _row_of_a_run(storage: Storage, row: dict[str, str]) -> None:
    """Compare a row of the runs of a task or a period."""
    run = int(row["Run"])
    products = storage.products(run)
    assert (number_of(row["Events: catalogue"]), number_of(row["Processed"])) == storage.events_of_run(run), row
    assert counts_of(row["Chunks"]) == Counter(storage.chunks(run).values_list("state", flat=True)), row
    assert {product.merge: product.state for product in products} == {name: row[name] for name in MERGES}, row
    merged = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", row["Merged"])}
    assert merged == {product.merge: storage.merged(product).events for product in products}, row


def _page_of_a_run(viewer: Reader, storage: Storage, task: Task, run: int) -> None:
    text = viewer.read(f"/tasks/{task.pk}/runs/{run}")
    chunks, products = storage.chunks(run), storage.products(run)
    promised, processed = storage.events_of_run(run)
    states = Counter(chunks.values_list("state", flat=True))
    assert tiles_of(text) == {
        **{f"chunks {state}": number for state, number in states.items()},
        "events of the catalogue": promised,
        "processed": processed,
        "skipped": 0,
        **{f"merged, {product.merge}": storage.merged(product).events for product in products},
    }, text
    cells = re.findall(r'class="cell \w+" href="/jobs/(\d+)" title="(\w+)">(\d+)<', text)
    known = chunks.order_by("chunk").values_list("pk", "state", "chunk")
    assert cells == [(str(job), state, f"{chunk:03d}") for job, state, chunk in known]
    kept = []
    for product in products:
        (row,) = table_of(text, f"Merged files of {product.merge}")
        storage.equals(row, row["File"], row["Kept at"])
        assert number_of(row["Inputs"]) == len(storage.good_places(run)), row
        kept.append(row["Kept at"])
    assert viewer.read(f"/tasks/{task.pk}/runs/{run}/urls.txt").splitlines() == kept


# ------------------------------------------------------------------------------------------------------------- jobs


def _page_of_a_job(viewer: Reader, storage: Storage, job: Job) -> None:
    text = viewer.read(f"/jobs/{job.pk}")
    tries = Attempt.objects.filter(job=job).order_by("-number")
    assert f"attempt {job.attempts}, {job.charged} of {job.task.max_attempts} charged" in text, text
    rows = table_of(text, "Attempts, the last one first")
    shown = [(row["#"], row["Node, agent or pilot"].split()[0], row["Ended"], row["Exit"]) for row in rows]
    assert shown == [
        (
            str(each.number),
            each.node,
            each.code or each.state,
            "" if each.exit_status is None else str(each.exit_status),
        )
        for each in tries
    ]
    published = table_of(text, "Published files") if "Published files" in text else []
    addresses = {(row["Address"].partition(" ")[0], row["State"]) for row in published}
    assert addresses == set(Output.objects.filter(job=job).values_list("url", "state")), text
    for row in published:
        if row["State"].startswith("valid"):
            storage.equals(row, *re.split(r"\s+kept at\s+", row["Address"]))
    for kept in AttemptReport.objects.filter(attempt__job=job).select_related("attempt"):
        number = kept.attempt.number
        of_attempt = text if number == job.attempts else viewer.read(f"/jobs/{job.pk}?attempt={number}")
        _course_of_an_attempt(of_attempt, storage, job, kept)


def _course_of_an_attempt(text: str, storage: Storage, job: Job, kept: AttemptReport) -> None:
    """Compare the log, the inputs and the events of an attempt with the files."""
    report = from_json(kept.report, Report)
    if report.log is not None and report.log.url and storage.has(report.log.url):
        url, size = LOG.findall(text)[0]
        assert (url, size) == (report.log.url, storage.at(url).size), text
    inputs = table_of(text, "Inputs of attempt") if report.inputs else []
    assert len(inputs) == len(report.inputs), text
    for row in inputs:
        file = storage.raw_of(job) if not job.product else storage.at(row["From"])
        assert (row["Size"], row["adler32"]) == (file.size, file.adler32), row
    if not job.product:
        events = {name: number_of(number) for name, number in rows_of(text, "Events")}
        physics = storage.raw_of(job).physics
        assert events["Catalogue"] == events_of((job.run or 0, job.chunk or 0))
        assert events.get("Raw file, physics", physics) == physics
        if kept.attempt.state == "finished":
            assert {events[name] for name in ("Raw file, physics", "Processed", "Entries of the mDST")} == {physics}
