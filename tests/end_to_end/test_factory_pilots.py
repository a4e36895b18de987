"""A factory starts unmodified PanDA pilots on a real Slurm; one of them is ended by `scancel` while its job runs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures.servers.ports import free_port
from fixtures.servers.slurm import serving_slurm
from fixtures.servers.xrootd import XrdServer
from tests.end_to_end.conftest import coral_by_chunk, storing_chunks
from tests.end_to_end.test_pilots_take_jobs import a_pilot, page_of
from tests.end_to_end.test_production import RUN, SITE, write_task
from tests.engines.factory_files import written
from tests.support.pilot import installed_release
from tests.support.pilotext_server import COMMAND, ProductionServer

pytestmark = [pytest.mark.long(120), pytest.mark.timeout(900)]

WITHIN_S = 400.0
GOOD, HANGS = 11, 13
MAX_JOBS = 2

BY_CHUNK = coral_by_chunk({HANGS: "hang=3,unbuffered"})


@pytest.fixture
def raw_files(open_folder: Path) -> Iterator[XrdServer]:
    with storing_chunks(open_folder / "storage", RUN, (GOOD, HANGS)) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    port = free_port()
    address = installed_release().transformation(f"http://127.0.0.1:{port}/trf")
    running = ProductionServer(tmp_path, port=port, environment={"PILOTEXT_TRF_URL": address})
    try:
        running.start()
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.mark.fault("dispatch", "pilot ended by scancel while its job runs")
def test_pilots_of_a_factory_on_slurm_take_jobs_and_one_that_is_cancelled_is_an_eviction(
    server: ProductionServer, raw_files: XrdServer
) -> None:
    folder = server.folder
    task = write_task(folder, raw_files)
    (folder / "sw/gen/soft/coral.exe").write_text(BY_CHUNK)
    submitted = server.command("manager", "submit", str(task), "--json")
    assert submitted.returncode == 0, submitted.stderr
    pilot = a_pilot(installed_release(), server, "pilot", server.token("agent"))
    others = {name: value for name, value in pilot.environment.items() if os.environ.get(name) != value}
    pilots = {"site": SITE, "system": "slurm", "pilot": pilot.command, "environment": others, "max_jobs": MAX_JOBS,
              "wall_s": 3600, "scratch": str(folder)}  # fmt: skip
    file = written(folder, server=server.url, labels={"pilots": pilots}, cycle_s=1)
    (folder / "token").write_text(server.token("agent"))
    most = 0
    with serving_slurm(slots=MAX_JOBS) as cluster, (folder / "factory.log").open("wb") as log:
        env = {**server.env, "SLURM_CONF": cluster.env["SLURM_CONF"]}
        factory = subprocess.Popen([*COMMAND, "factory", "run", str(file)], env=env, stdout=log, stderr=log)

        def batch_jobs() -> list[str]:
            return cluster.command("squeue", "-h", "--array", "-o", "%i").split()

        def wait_for(what: Callable[[], bool]) -> None:
            nonlocal most
            end = time.monotonic() + WITHIN_S
            while not what():
                said = [path.read_text(errors="replace")[-3000:] for path in folder.glob("factory/output/*.out")]
                assert time.monotonic() < end, "\n".join([server.log(), *said, cluster.log()])
                most = max(most, len(batch_jobs()))
                time.sleep(0.5)

        try:
            wait_for(lambda: page_of(server, GOOD).job.state == "finished")
            wait_for(lambda: page_of(server, HANGS).job.state == "running")
            wait_for(lambda: len(batch_jobs()) == 1)  # that of the job that hangs
            cluster.command("scancel", *batch_jobs())
            wait_for(lambda: page_of(server, HANGS).attempts[0].ended is not None)
        finally:
            factory.terminate()
            factory.wait(60)
    assert most <= MAX_JOBS
    (good,) = page_of(server, GOOD).attempts
    assert good.state == "finished"
    evicted = page_of(server, HANGS).attempts[0]
    assert (evicted.state, evicted.cause, evicted.code) == ("failed", "evicted", "COMPASS-5011")
    published = {path.name for path in raw_files.store.rglob("mDST-*") if path.is_file()}
    assert published == {f"mDST-{RUN}-{GOOD}-0-7.root"}
