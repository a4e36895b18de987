"""A stand-in for the next PanDA pilot and an unmodified one work on one task by their protocols, with equal results."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.servers.xrootd import XrdServer
from pilotext.api.schemas.jobs import JobPage
from tests.end_to_end.conftest import CASTOR, coral_by_chunk, storing_chunks
from tests.end_to_end.test_pilots_take_jobs import a_pilot, page_of, server, wait_for  # noqa: F401  a fixture
from tests.end_to_end.test_production import RUN, SITE, write_task
from tests.support.next_pilot import NextPilot
from tests.support.pilot import installed_release
from tests.support.pilotext_server import ProductionServer

pytestmark = [pytest.mark.long(60), pytest.mark.timeout(600)]

GOOD, FAILS = (11, 12), (13, 14)
HANGS = 15

BY_CHUNK = coral_by_chunk({**dict.fromkeys(FAILS, "tlattice"), HANGS: "hang=3,unbuffered"})


@pytest.fixture
def raw_files(open_folder: Path) -> Iterator[XrdServer]:
    with storing_chunks(open_folder / "storage", RUN, (*GOOD, *FAILS, HANGS)) as storage:
        yield storage


def outcome(page: JobPage) -> dict[str, object]:
    """What the server knows of a job and its only attempt, without what is another's by its nature."""
    (attempt,) = page.attempts
    names = (
        "number",
        "state",
        "agent",
        "verdict",
        "code",
        "cause",
        "action",
        "rule",
        "exit_status",
        "charged",
        "decision",
    )
    return {
        "job": page.job.state,
        "attempt": {name: getattr(attempt, name) for name in names},
        "diag": attempt.diag.partition(":")[0],
        "outputs": [(output.kind, output.state) for output in page.outputs],
    }


def test_either_protocol_leaves_the_same_of_good_and_failed_jobs(
    server: ProductionServer,  # noqa: F811
    raw_files: XrdServer,
) -> None:
    task = write_task(server.folder, raw_files, max_attempts=1)
    (server.folder / "sw/gen/soft/coral.exe").write_text(BY_CHUNK)
    submitted = server.command("manager", "submit", str(task), "--json")
    assert submitted.returncode == 0, submitted.stderr
    token = server.token("agent")
    release = installed_release()
    with ExitStack() as stack:
        for number, (ended, (old, new)) in enumerate((("finished", GOOD), ("manual", FAILS))):
            pilot = stack.enter_context(a_pilot(release, server, f"pilot{number}", token))
            wait_for(lambda chunk=old: page_of(server, chunk).job.state not in ("defined", "ready"), server, [pilot])  # type: ignore[misc]
            NextPilot(server.url, token, SITE, server.folder / f"next{number}").run()
            for chunk in (old, new):
                wait_for(lambda chunk=chunk, ended=ended: page_of(server, chunk).job.state == ended, server, [pilot])  # type: ignore[misc]
            assert outcome(page_of(server, new)) == outcome(page_of(server, old))
            assert page_of(server, new).attempts[0].node == "next"
    assert page_of(server, FAILS[1]).attempts[0].code == "COMPASS-1241"
    published = {path.name for path in raw_files.store.rglob("mDST-*") if path.is_file()}
    assert published == {f"mDST-{RUN}-{chunk}-0-7.root" for chunk in GOOD}


def test_a_pilot_of_the_new_protocol_ends_a_job_that_was_cancelled(
    server: ProductionServer,  # noqa: F811
    raw_files: XrdServer,
) -> None:
    for chunk in (*GOOD, *FAILS):
        (raw_files.store / CASTOR.lstrip("/") / f"cdr{chunk}-{RUN}.raw").unlink()
    task = write_task(server.folder, raw_files, max_attempts=1)
    (server.folder / "sw/gen/soft/coral.exe").write_text(BY_CHUNK)
    submitted = server.command("manager", "submit", str(task), "--json")
    assert submitted.returncode == 0, submitted.stderr
    pilot = NextPilot(server.url, server.token("agent"), SITE, server.folder / "next")
    working = threading.Thread(target=pilot.run)
    working.start()
    wait_for(lambda: page_of(server, HANGS).job.state == "running", server, [])
    hanging = str(page_of(server, HANGS).job.job)
    cancelled = server.command("expert", "jobs", "cancel", hanging, "--why", "the options were wrong")
    assert cancelled.returncode == 0, cancelled.stderr
    working.join(120)
    assert not working.is_alive()
    assert pilot.commands[-2:] == ["tobekilled", "NULL"]
    wait_for(lambda: page_of(server, HANGS).attempts[0].ended is not None, server, [])
    assert page_of(server, HANGS).attempts[0].state == "cancelled"
