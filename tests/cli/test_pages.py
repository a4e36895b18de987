"""Pages of one job, run or task are readable at 80 columns, and say what there is to know."""

from __future__ import annotations

import msgspec
import pytest

from pilotext.api.schemas.attempts import AttemptDetail, AttemptRow, OutputRow
from pilotext.api.schemas.audit import AuditRow
from pilotext.api.schemas.jobs import JobFacts, JobPage, JobRow
from pilotext.api.schemas.runs import ChunkEvents, MergedFile, ProductRow, RunEvents, RunPage, RunRow
from pilotext.api.schemas.tasks import TaskPage, TaskRow
from pilotext.api.schemas.waits import Wait
from pilotext.cli.formatting import fields, reasons, run_chunk
from pilotext.cli.jobs.show import job_page
from pilotext.cli.runs.show import run_page
from pilotext.cli.tasks import task_page
from pilotext.formatting import bytes_of, duration
from pilotext.model.report import PhaseRecord
from pilotext.model.verdict import Evidence, Verdict

URL = f"root://eoscompass.cern.ch//eos/experiment/compass/{'x' * 60}/mDST-1-11-0-7.root"
LONG = "the storage of the site does not answer, which was seen in twelve of the last twenty attempts " * 3
WAIT = Wait("breaker", LONG, 86400.0, 90000.0, "manager", "pilotext sites close --breaker 3 --why ...")

JOB = JobPage(
    JobRow(7, "t1", "mass production", "", "/castor/cdr.raw", 1, 11, "ready", 1, 1, "C-1", "storage", LONG, 0.0, 1.0),
    (
        AttemptRow(
            9, 1, "failed", "CERN", "wn1", "a1", 86400.0, 90000.0, "failure", "C-1", "storage", "retry", "r", LONG, 68,
            True, "ready: storage, retry: elsewhere, failure 1 of its class, charged",
            AttemptDetail((PhaseRecord("stage-out", 1.0, 180.0, "failed"),), 3500.0, 3400.0, 1234.5, URL),
        ),
    ),
    (AuditRow(86400.0, "maria", "job", 7, "sent", "ready", LONG),),
    Verdict("failure", remedy="Wait.", evidence=(Evidence("r", "stderr", 12, 1, "no such server"),)),
    JobFacts("running", 2000, 3000.0, 1_100_000_000, "0a0b0c0d", 200, 194, 6, {"production": "dvcs", "year": "2016"}),
    (OutputRow("mdst", "mDST.root", URL, 1000, "0a0b0c0d", 50, "superseded", "", 1),),
    (WAIT,),
)  # fmt: skip

RUN = RunPage(
    RunRow("t1", 1, {"finished": 2}, {"mdst": "copying"}, {}, RunEvents(200, 194, 6, {"mdst": 50}, 0)),
    (
        ProductRow(
            1, "t1", 1, "mdst", "copying", 1, (5,), 50, LONG, (MergedFile("m.root", URL, "", 9, "a", 50, 2),), 1.0
        ),
    ),
    {"mdst": (WAIT,)},
    (ChunkEvents(7, 11, 100, 94, 6),),
)

TASK = TaskPage(
    TaskRow(1, "t1", "COMPASS", "mass production", "running", {"ready": 3}, {}, 1.0, 2.0),
    {"production": "dvcs", "path": "x" * 30, "soft": "y" * 30}, {}, (), 500, 2.0, 5, True, (WAIT,),
)  # fmt: skip


def narrow(text: str) -> bool:
    """Whether no line is wider than 80 columns but for a single word that is."""
    return all(len(line) <= 80 or len(line.split()) <= 3 for line in text.split("\n"))


@pytest.mark.parametrize("text", [job_page(JOB), run_page(RUN), task_page(TASK)], ids=["job", "run", "task"])
def test_a_page_is_readable_at_80_columns(text: str) -> None:
    assert narrow(text), [line for line in text.split("\n") if len(line) > 80]
    assert "waits: the storage of the site" in text
    assert "since 1970-01-02 00:00:00; not before 1970-01-02 01:00:00" in text
    assert "who can change it: manager: pilotext sites close --breaker 3 --why ..." in " ".join(text.split())


def test_the_page_of_a_job_says_all_of_it() -> None:
    text = " ".join(job_page(JOB).split())
    for words in (
        "priority: 2000",
        "memory: 3000 MB",
        "events: catalogue 200, processed 194, skipped 6",
        "parameters: production=dvcs, year=2016",
        "attempt 1: failed, a1 at CERN on wn1",
        "ended 1970-01-02 01:00:00, 1:00:00 h",
        "wall 0:58:20 h, CPU 0:56:40 h, memory 1234 MB",
        "stage-out failed 0:03:00 h",
        f"log: {URL}",
        "decision: ready: storage, retry: elsewhere",
        "mdst mDST.root: superseded, of attempt 1",
        f"at: {URL}",
        "stderr:12> no such server",
        "advice: Wait.",
        "maria: job sent -> ready",
    ):
        assert words in text, words


def test_the_page_of_a_run_says_its_events_and_the_odd_chunk() -> None:
    text = " ".join(run_page(RUN).split())
    assert "events: catalogue 200, processed 194, skipped 6, mdst merged 50" in text
    assert "chunk 11 (job 7): catalogue 100, processed 94, skipped 6" in text
    assert "without job 5" in text


def test_what_is_not_known_is_left_out() -> None:
    assert fields([("a", None), ("b", ""), ("c", 0)]) == "c:           0"
    assert list(reasons(())) == []
    bare = msgspec.structs.replace(JOB, facts=None, outputs=(), waits=(), events=(), verdict=None)
    assert "waits" not in job_page(bare)


def test_sizes_and_durations_are_for_people() -> None:
    assert [bytes_of(size) for size in (None, 0, 999, 1_100_000_000)] == ["", "0 B", "999 B", "1.1 GB"]
    assert [duration(seconds) for seconds in (None, 0.5, 3600.0)] == ["", "0.5 s", "1:00:00 h"]


def test_a_job_without_chunk_or_run_shows_none() -> None:
    assert run_chunk(275772, 12) == "275772-12"
    assert run_chunk(275772, None) == "275772"
    assert run_chunk(None, None) == "-"
    merge = msgspec.structs.replace(JOB, job=msgspec.structs.replace(JOB.job, product="mdst", chunk=None))
    assert "mdst, run 1\n" in job_page(merge)
    assert "None" not in job_page(merge)
