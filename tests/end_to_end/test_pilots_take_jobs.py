"""Unmodified PanDA pilots take the jobs of a task from the production server, which knows what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.servers.ports import free_port
from fixtures.servers.xrootd import XrdServer
from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.jobs import JobList, JobPage
from tests.end_to_end.conftest import coral_by_chunk, storing_chunks
from tests.end_to_end.test_production import RUN, SITE, the_task, write_task
from tests.support.jobs import CHECKOUT
from tests.support.pilot import Pilot, Release, installed_release
from tests.support.pilotext_server import ProductionServer

pytestmark = [pytest.mark.long(100), pytest.mark.timeout(600)]

GOOD, FAILS, HANGS = 11, 12, 13
LONGEST_S = 300.0

BY_CHUNK = coral_by_chunk({FAILS: "tlattice", HANGS: "hang=3,unbuffered"})


@pytest.fixture
def raw_files(open_folder: Path) -> Iterator[XrdServer]:
    with storing_chunks(open_folder / "storage", RUN, (GOOD, FAILS, HANGS)) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    port = free_port()
    release = installed_release()
    given = {"PILOTEXT_TRF_URL": release.transformation(f"http://127.0.0.1:{port}/trf"), "PILOTEXT_REPORT_GRACE_S": "5"}
    running = ProductionServer(tmp_path, port=port, environment=given)
    try:
        running.start()
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def page_of(server: ProductionServer, chunk: int) -> JobPage:
    viewer = server.client("viewer")
    (job,) = [job.job for job in viewer.get("/api/v1/jobs", JobList).jobs if job.chunk == chunk]
    return viewer.get(f"/api/v1/jobs/{job}", JobPage)


def wait_for(what: Callable[[], bool], server: ProductionServer, pilots: list[Pilot]) -> None:
    end = time.monotonic() + LONGEST_S
    while not what():
        said = [pilot.log.read_text()[-1500:] for pilot in pilots]
        assert time.monotonic() < end, "\n".join([server.log(), *said])
        time.sleep(0.5)


def a_pilot(release: Release, server: ProductionServer, name: str, token: str) -> Pilot:
    """One that proves itself by a token in a file, as pilots do."""
    folder = server.folder / name
    folder.mkdir()
    (folder / "token").write_text(token)
    given = {
        "PILOTEXT_HOME": str(CHECKOUT),
        "PANDA_AUTH_TOKEN": "token",
        "PANDA_AUTH_ORIGIN": "compass.pilot",
        "PANDA_AUTH_DIR": str(folder / "token"),
    }
    return Pilot(release, folder, server.port, given, queue=SITE)


def test_pilots_take_a_good_a_failing_and_a_cancelled_job_and_the_task_ends_rightly(
    server: ProductionServer, raw_files: XrdServer
) -> None:
    release = installed_release()
    task = write_task(server.folder, raw_files, max_attempts=1)
    (server.folder / "sw/gen/soft/coral.exe").write_text(BY_CHUNK)
    submitted = server.command("manager", "submit", str(task), "--json")
    assert submitted.returncode == 0, submitted.stderr
    token = server.token("agent")
    with ExitStack() as stack:
        pilots = [stack.enter_context(a_pilot(release, server, f"pilot{number}", token)) for number in (1, 2, 3)]
        wait_for(lambda: page_of(server, GOOD).job.state == "finished", server, pilots)
        wait_for(lambda: page_of(server, FAILS).job.state == "manual", server, pilots)
        wait_for(lambda: page_of(server, HANGS).job.state == "running", server, pilots)
        hanging = str(page_of(server, HANGS).job.job)
        cancelled = server.command("expert", "jobs", "cancel", hanging, "--why", "the options were wrong")
        assert cancelled.returncode == 0, cancelled.stderr
        wait_for(lambda: ended(page_of(server, HANGS).attempts), server, pilots)
        failing = str(page_of(server, FAILS).job.job)
        decided = server.command("expert", "jobs", "fail", failing, "--why", "no more memory to be had")
        assert decided.returncode == 0, decided.stderr
        wait_for(lambda: the_task(server).state == "done", server, pilots)

    assert the_task(server).jobs == {"finished": 1, "failed": 1, "cancelled": 1}
    (failed,) = page_of(server, FAILS).attempts
    assert (failed.state, failed.code, failed.cause) == ("failed", "COMPASS-1241", "memory")
    (killed,) = page_of(server, HANGS).attempts
    assert killed.state == "cancelled"
    assert killed.code in ("COMPASS-5011", "COMPASS-5208"), "by the wrapper's report, or else by the pilot's word"
    published = {path.name for path in raw_files.store.rglob("mDST-*") if path.is_file()}
    assert published == {f"mDST-{RUN}-{GOOD}-0-7.root"}
    said = server.log() + "".join(path.read_text() for path in server.folder.glob("pilot*/pilot.out"))
    assert token not in said


def ended(attempts: tuple[AttemptRow, ...]) -> bool:
    return all(attempt.ended is not None for attempt in attempts)
