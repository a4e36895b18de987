"""What stands already where a job publishes: it is replaced only when a record of the job knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copy_job import FOLDER, SMALL, CopyJob, adler32, aim, outcome, stored
from tests.support.xrootd_server import XrdServer, serving

EARLIER = b"of an earlier attempt"
NOBODY_KNOWS = (68, "COMPASS-3207", "storage", "manual-check")


@pytest.fixture
def server() -> Iterator[XrdServer]:
    with serving() as running:
        yield running


@pytest.fixture
def job(open_folder: Path, server: XrdServer) -> CopyJob:
    made = CopyJob(open_folder)
    aim(made, "stage-out", server.port)
    return made


def place(server: XrdServer, content: bytes) -> None:
    path = server.store / FOLDER[1:] / "out.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    server.give_to_server()


def knows(job: CopyJob, content: bytes) -> None:
    """Tell the job of a file that an earlier attempt has published."""
    known = {"size": len(content), "adler32": adler32(content)}
    job.outputs = [{"name": "out.bin", "destinations": job.destinations, "replaces": [known]}]


@pytest.mark.fault("stage-out", "another file has the name of an output")
def test_a_file_that_nobody_knows_stays_and_the_job_waits_for_somebody(job: CopyJob, server: XrdServer) -> None:
    place(server, EARLIER)
    report = job.run()
    assert outcome(report) == NOBODY_KNOWS
    assert "which no attempt of this job has reported" in report.findings[-1].text
    assert stored(server) == {"out.bin": EARLIER}


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_file_that_an_earlier_attempt_has_reported_is_replaced(attempt: int, job: CopyJob, server: XrdServer) -> None:
    place(server, EARLIER)
    knows(job, EARLIER)
    job.fields |= {"attempt": attempt, "unreported": False}
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": SMALL}


def test_another_file_than_the_one_that_was_reported_stays(job: CopyJob, server: XrdServer) -> None:
    place(server, EARLIER)
    knows(job, b"of an earlier attemPt")
    job.fields |= {"attempt": 2, "unreported": False}
    assert outcome(job.run()) == NOBODY_KNOWS
    assert stored(server) == {"out.bin": EARLIER}


@pytest.mark.parametrize("fields", [{"attempt": 2}, {"attempt": 2, "unreported": True}])
def test_after_an_attempt_without_a_report_any_file_is_replaced(
    fields: dict[str, object], job: CopyJob, server: XrdServer
) -> None:
    place(server, EARLIER)
    job.fields |= fields
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": SMALL}


def test_the_same_file_is_no_obstacle(job: CopyJob, server: XrdServer) -> None:
    place(server, SMALL)
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": SMALL}
