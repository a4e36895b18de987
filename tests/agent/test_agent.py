"""Agents against a real server: they drain, clean up, and lose no report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from pilotext.api.schemas.jobs import JobList, JobPage, JobRow
from pilotext.formats.date_raw_writer import make_raw
from tests.support.pilotext_server import ProductionServer, production_server

SITE = "CERN_COMPASS_PROD"
WITHIN_S = 90.0

serving = production_server  # a whole server is started: not for the fast tests


SHORT_LEASE_S = "6"
"""Soon over, and yet renewed in time on a machine that is busy with other tests."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    with production_server(tmp_path, PILOTEXT_LISTABLE_FOLDERS=str(tmp_path)) as running:
        yield running


@pytest.fixture
def strict_server(tmp_path: Path) -> Iterator[ProductionServer]:
    given = {"PILOTEXT_LEASE_S": SHORT_LEASE_S, "PILOTEXT_LISTABLE_FOLDERS": str(tmp_path)}
    with production_server(tmp_path, **given) as running:
        yield running


def wait_for(what: Callable[[], object], server: ProductionServer) -> None:
    end = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < end, server.log()
        time.sleep(0.1)


def submit(server: ProductionServer, script: str, chunks: int = 1) -> None:
    """A task of DDD filtering whose program is this shell script."""
    area = server.folder / "sw/p/s/coral"
    program = area / "src/DaqDataDecoding/examples/how-to/ddd"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    (area / "setup.sh").touch()
    raw = server.folder / "raw"
    raw.mkdir()
    for chunk in range(chunks):
        make_raw(raw / f"cdr{chunk}-7.raw", run=7, events=5)
    (server.folder / "eos").mkdir()
    task = {
        "experiment": "COMPASS",
        "name": "t",
        "type": "DDD filtering",
        "files": {"folder": [f"file://{raw}/"]},
        "parameters": {"production": "p", "home": f"{server.folder}/sw/", "path": "p/", "soft": "s", "year": 2016,
                       "eos_server": f"file://{server.folder}"},
        "staging": False,
        "merges": [],
    }  # fmt: skip
    path = server.folder / "task.yaml"
    path.write_text(yaml.safe_dump(task))
    done = server.command("manager", "submit", str(path))
    assert done.returncode == 0, done.stderr


def jobs(server: ProductionServer) -> tuple[JobRow, ...]:
    return server.client("viewer").get("/api/v1/jobs", JobList).jobs


def test_a_drained_agent_brings_its_job_to_its_end_and_takes_no_other(server: ProductionServer) -> None:
    began = server.folder / "began"
    submit(server, f"touch {began}; sleep 3; echo 'End of the decoding!'", chunks=2)
    agent = server.agent("--site", SITE)
    wait_for(began.exists, server)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(WITHIN_S) == 0
    wait_for(lambda: sorted(job.state for job in jobs(server)) == ["finished", "ready"], server)


@pytest.mark.fault("dispatch", "agent killed while its job runs")
def test_a_killed_agent_leaves_no_job_behind_and_the_job_is_done_by_another(
    strict_server: ProductionServer,
) -> None:
    server = strict_server
    pid = server.folder / "pid"
    submit(server, f"echo $$ > {pid}.new; mv {pid}.new {pid}; [ -e {pid}.2 ] || {{ touch {pid}.2; sleep 600; }}; "
                   "echo 'End of the decoding!'")  # fmt: skip
    agent = server.agent("--site", SITE)
    wait_for(pid.exists, server)
    payload = int(pid.read_text())
    agent.kill()
    agent.wait()
    wait_for(lambda: not psutil.pid_exists(payload), server)
    server.agent("--site", SITE, name="another")
    client = server.client("viewer")
    (job,) = jobs(server)
    wait_for(lambda: jobs(server)[0].state == "finished", server)
    assert list((server.folder / "agent").glob("attempt-*"))
    assert server.agent("--site", SITE, "--idle", "0.1").wait(WITHIN_S) == 0  # in the folder of the killed one
    assert not list((server.folder / "agent").glob("attempt-*"))
    page = client.get(f"/api/v1/jobs/{job.job}", JobPage)
    assert [(each.state, each.agent) for each in page.attempts] == [("lost", "agent"), ("finished", "another")]


@pytest.mark.fault("payload", "server away for longer than the lease")
def test_a_job_whose_lease_cannot_be_renewed_is_ended_before_another_may_have_it(
    strict_server: ProductionServer,
) -> None:
    server = strict_server
    pid = server.folder / "pid"
    submit(server, f"echo $$ > {pid}.new; mv {pid}.new {pid}; [ -e {pid}.2 ] || {{ touch {pid}.2; sleep 600; }}; "
                   "echo 'End of the decoding!'")  # fmt: skip
    server.agent("--site", SITE)
    wait_for(pid.exists, server)
    payload = int(pid.read_text())
    whole = server.processes[0]
    whole.terminate()
    whole.wait(WITHIN_S)
    wait_for(lambda: not psutil.pid_exists(payload), server)
    server.start()
    server.wait_until_ready()
    wait_for(lambda: jobs(server)[0].state == "finished", server)
    page = server.client("viewer").get(f"/api/v1/jobs/{jobs(server)[0].job}", JobPage)
    assert [each.state for each in page.attempts][-1] == "finished"
    assert len(page.attempts) == 2


@pytest.mark.fault("report", "server away at the end of the job")
def test_a_report_that_cannot_be_delivered_is_kept_for_the_next_agent(server: ProductionServer) -> None:
    began, go_on = server.folder / "began", server.folder / "go-on"
    submit(server, f"touch {began}; until [ -e {go_on} ]; do sleep 0.1; done; echo 'End of the decoding!'")
    agent = server.agent("--site", SITE, "--jobs", "1", name="same")
    wait_for(began.exists, server)
    whole = server.processes[0]
    whole.terminate()
    whole.wait(WITHIN_S)
    go_on.touch()
    assert agent.wait(WITHIN_S) == 0
    spool = server.folder / "same/spool"
    assert len(list(spool.glob("*.json"))) == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in spool.iterdir())
    server.start()
    server.wait_until_ready()
    server.agent("--site", SITE, "--idle", "1", name="same").wait(WITHIN_S)
    assert not list(spool.iterdir())
    assert os.path.lexists(go_on)
    wait_for(lambda: [job.state for job in jobs(server)] == ["finished"], server)
