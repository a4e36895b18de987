"""A small production with real parts: the server, an agent, an XRootD server, the stand-in CORAL."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fixtures.servers.xrootd import XrdServer
from pilotext.api.schemas.jobs import JobList, JobPage
from pilotext.api.schemas.tasks import TaskList, TaskRow
from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.conftest import CASTOR
from tests.support.jobs import PAYLOADS
from tests.support.pilotext_server import ProductionServer, production_server

SITE = "CERN_COMPASS_PROD"
RUN = 275772
ENDS_WITHIN_S = 150.0

# One chunk fails in its first attempt, really: the stand-in cannot allocate its dictionary.
FAILS_ONCE = """#!/bin/bash
if [ "$TMPRAWFILE" = cdr12-{run}.raw ] && mkdir "{mark}" 2>/dev/null; then export PILOTEXT_STANDIN=tlattice; fi
exec "{coral}" "$@"
"""


@pytest.fixture
def storage(open_folder: Path) -> Iterator[XrdServer]:
    exports = [("/castor/cern.ch/compass", "r/w"), ("/eos/experiment/compass", "r/w")]
    server = XrdServer(open_folder / "storage", exports)
    folder = server.store / CASTOR.lstrip("/")
    folder.mkdir(parents=True)
    for chunk in (11, 12, 13):
        make_raw(folder / f"cdr{chunk}-{RUN}.raw", run=RUN, events=20)
    with server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    with production_server(tmp_path) as running:
        yield running


def software(folder: Path) -> Path:
    """A software area laid out as on CVMFS."""
    area = folder / "sw/gen/soft"
    (area / "coral").mkdir(parents=True)
    (area / "coral/setup.sh").symlink_to(PAYLOADS / "setup.sh")
    (area / "template.opt").symlink_to(PAYLOADS / "template.opt")
    coral = area / "coral.exe"
    coral.write_text(FAILS_ONCE.format(run=RUN, mark=folder / "failed-once", coral=PAYLOADS / "coral.exe"))
    coral.chmod(0o755)
    return folder / "sw"


def write_task(folder: Path, storage: XrdServer, **fields: object) -> Path:
    root = storage.url().rstrip("/") + "/"
    task = {
        "experiment": "COMPASS",
        "name": "dvcs2016P09t1",
        "type": "mass production",
        "files": {"folder": [storage.url(f"{CASTOR}/")]},
        "parameters": {
            "production": "dvcs",
            "home": f"{software(folder)}/",
            "path": "gen/",
            "soft": "soft",
            "year": 2016,
            "eos_server": root,
            "tape_server": root,
        },
        "staging": False,
        "merges": [],
        **fields,
    }
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(task))
    return path


def the_task(server: ProductionServer) -> TaskRow:
    (row,) = server.client("viewer").get("/api/v1/tasks", TaskList).tasks
    return row


def test_a_task_ends_by_itself_with_all_its_jobs_done(server: ProductionServer, storage: XrdServer) -> None:
    task = write_task(server.folder, storage)
    submitted = server.command("manager", "submit", str(task), "--json")
    assert submitted.returncode == 0, submitted.stderr
    assert json.loads(submitted.stdout)["jobs"] == 3
    again = server.command("manager", "submit", str(task), "--json")
    assert json.loads(again.stdout)["created"] is False

    agent = server.agent("--site", SITE, "--slots", "2")
    end = time.monotonic() + ENDS_WITHIN_S
    while the_task(server).state != "done":
        assert time.monotonic() < end, server.log()
        assert agent.poll() is None, server.log()
        time.sleep(0.5)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0

    assert the_task(server).jobs == {"finished": 3}
    published = {path.name for path in storage.store.rglob("*") if path.is_file() and "eos" in str(path)}
    assert {f"mDST-{RUN}-{chunk}-0-7.root" for chunk in (11, 12, 13)} <= published
    viewer = server.client("viewer")
    (failed_once,) = [job for job in viewer.get("/api/v1/jobs", JobList).jobs if job.attempts == 2]
    page = viewer.get(f"/api/v1/jobs/{failed_once.job}", JobPage)
    assert page.job.chunk == 12
    assert [(each.state, each.cause) for each in page.attempts] == [("failed", "memory"), ("finished", "")]
    states = ["sent", "running", "ready", "sent", "running", "verifying", "finished"]
    assert [event.after for event in page.events] == states
    assert not list((server.folder / "agent").glob("attempt-*")), "the agent cleans up after itself"
    assert not list((server.folder / "agent/spool").glob("*"))
