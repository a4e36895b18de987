"""A production on storage in memory: jobs whose files are really there, and cycles that are done by hand."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pilotext.model.job import PLACEHOLDER
from pilotext.model.report import Transfer
from pilotext.model.verdict import Finding
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.models import Job, Product
from pilotext.server.production.storage import operations
from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.transfer import InProcessMover
from tests.server.support import PARAMETERS, lease, report_of, send, submit

EOS = "memory://eos/"
TAPE = "memory://tape/"
ON_MEMORY = {**PARAMETERS, "eos_server": EOS, "tape_server": TAPE}
EVENTS = 100
"""Events of each chunk."""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStorage]:
    memory = MemoryStorage()
    registry.register("memory", memory)
    monkeypatch.setattr(operations, "open_mover", InProcessMover)
    yield memory
    registry.unregister("memory")


def submit_runs(chunks: dict[int, int], *, merges: tuple[str, ...] = ("mdst",), **fields: object) -> None:
    """A task of so many chunks for each run, all of whose raw files are on disk."""
    files = [f"/castor/cern.ch/W14/cdr{chunk}-{run}.raw" for run, number in chunks.items() for chunk in range(number)]
    submit(files, merges=list(merges), **{"parameters": ON_MEMORY, **fields})


def do(given: Lease, storage: MemoryStorage, *, events: int | None = None, empty_dump: bool = False) -> None:
    """Do a leased job: its files appear in the storage, and its report is taken.

    A chunk holds EVENTS events unless said otherwise, a merged file those of its inputs.
    """
    merging = given.job.kind == "merging"
    inputs = b"".join(storage.files[each.sources[0]] for each in given.job.inputs) if merging else b""
    count = (sum(map(int, re.findall(rb": (\d+)", inputs))) if merging else EVENTS) if events is None else events
    report = report_of(given)
    outputs = []
    for file in given.job.outputs:
        data = f"{file.published_name}: {count}".encode().ljust(1000)
        if merging:
            data = inputs
        elif file.kind == "dump" and empty_dump:
            data = PLACEHOLDER
        url = f"{file.destinations[0]}{file.published_name}"
        storage.files[url] = data
        outputs.append(Transfer(file.name, url, len(data), f"{zlib.adler32(data):08x}", 1.0))
    log = f"{given.job.log.destinations[0]}{given.job.log.name}" if given.job.log else None
    if log:
        storage.files[log] = given.job.label.encode()
    counters = {"events_processed": count, "events_skipped": 0, "hist_entries": count, "dump_events": count}
    counters["events_saved" if merging else "events_written"] = count
    delivered = None if log is None else Transfer(log, log, len(given.job.label), _adler(given.job.label), 1.0)
    replaced = (Finding("output-replaced", "empty", "validate", {"file": "testevtdump.raw"}),)
    send(
        given,
        replace(
            report,
            outputs=tuple(outputs),
            verdict=replace(report.verdict, counters=counters),
            log=delivered,
            findings=replaced if empty_dump and not merging else (),
        ),
    )


def do_all(storage: MemoryStorage, **how: object) -> int:
    """Do every job that can be had now; returns how many those were."""
    done = 0
    while (given := lease()) is not None:
        do(given, storage, **how)  # type: ignore[arg-type]
        done += 1
    return done


def cycle(times: int = 1) -> None:
    """Every step of the cycle, so many times; none may fail."""
    for _ in range(times):
        moved = run_once(STEPS)
        assert -1 not in moved.values(), moved


def product(merge: str = "mdst", run: int = 1) -> Product:
    return Product.objects.get(merge=merge, run=run)


def chunks(run: int = 1) -> list[Job]:
    return list(Job.objects.filter(product="", run=run).order_by("chunk"))


def _adler(text: str) -> str:
    return f"{zlib.adler32(text.encode()):08x}"
