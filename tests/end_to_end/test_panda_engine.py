"""A production whose jobs a factory hands to PanDA: a real server, factory, panda-client and wrapper.

The PanDA server is a stand-in, and the test plays JEDI and the pilots.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fixtures.servers.panda import PandaStandIn
from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.jobs import JobPage
from pilotext.api.schemas.tasks import TaskList, TaskPage
from tests.agent.test_agent import SITE, jobs, submit, wait_for
from tests.engines.factory_files import written
from tests.support.jobs import CHECKOUT
from tests.support.pilotext_server import COMMAND, ProductionServer, impatient_checkout, serving

MONITOR = "https://monitor.example"


@dataclass
class Grid:
    """A server, a PanDA, and the factory file between them."""

    server: ProductionServer
    panda: PandaStandIn
    file: Path

    def cycle(self) -> str:
        """Run one cycle of the factory; returns what it says."""
        env = {**self.server.env, **self.panda.environment}
        words = [*COMMAND, "factory", "run", str(self.file), "--once"]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def pilot(self, number: int) -> subprocess.CompletedProcess[str]:
        """Run the transformation of a PanDA job in a folder of its own, as a pilot does."""
        folder = self.server.folder / f"PanDA_Pilot-{number}"
        folder.mkdir()
        words = [str(CHECKOUT / "bin/pilotext-trf"), *shlex.split(self.panda.jobs[number].parameters)]
        self.panda.jobs[number].status = "running"
        return subprocess.run(
            words, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120, check=False
        )

    def attempt_of(self, number: int) -> AttemptRow:
        """Return the last attempt of the job that is this job of PanDA."""
        attempt = int(self.panda.jobs[number].parameters.rpartition("/attempts/")[2].partition("/")[0])
        client = self.server.client("viewer")
        pages = [client.get(f"/api/v1/jobs/{job.job}", JobPage) for job in jobs(self.server)]
        (found,) = (each for page in pages for each in page.attempts if each.attempt == attempt)
        return found

    def states(self) -> list[str]:
        return sorted(job.state for job in jobs(self.server))


def impatient_server(folder: Path) -> ProductionServer:
    """A server that sends jobs again at once when a batch system has ended them, and does not wait for reports."""
    checkout = impatient_checkout(folder / "checkout", 0.1)
    profile = checkout / "rules/compass/experiment.yaml"
    text, before = profile.read_text(), "{cause: [evicted], then: retry, wait_s: 60"
    assert before in text
    profile.write_text(text.replace(before, before.replace("60", "1")))
    given = {
        "PILOTEXT_LISTABLE_FOLDERS": str(folder),
        "PILOTEXT_REPORT_GRACE_S": "0.1",
        "PILOTEXT_PANDA_MONITOR": MONITOR,
    }
    return ProductionServer(folder, environment=given, checkout=checkout)


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Grid]:
    with serving(impatient_server(tmp_path)) as server, PandaStandIn() as panda:
        label = {"system": "panda", "site": SITE, "panda": {"user": "c", "vo": "wlcg", "pilotext": str(CHECKOUT)}}
        file = written(tmp_path, server=server.url, labels={"grid": label})
        (tmp_path / "token").write_text(server.token("agent"))
        yield Grid(server, panda, file)


def test_a_task_is_submitted_to_the_sites_of_the_engine(grid: Grid) -> None:
    document = {
        "experiment": "COMPASS",
        "name": "t",
        "type": "mass production",
        "files": {"these": ["/castor/cern.ch/compass/data/2016/raw/W14/cdr11-1.raw"]},
        "parameters": {"production": "p", "path": "p/", "soft": "s", "year": 2016},
        "staging": False,
        "merges": [],
    }
    path = grid.server.folder / "mass.yaml"
    path.write_text(yaml.safe_dump(document))
    refused = grid.server.command("manager", "submit", str(path), "--engine", "panda")
    assert refused.returncode == 64
    assert "no factory uses panda for any site of COMPASS. Start one" in refused.stderr
    grid.cycle()
    assert grid.server.command("manager", "submit", str(path), "--engine", "slurm").returncode == 64
    done = grid.server.command("manager", "submit", str(path), "--engine", "panda")
    assert done.returncode == 0, done.stderr
    (task,) = grid.server.client("viewer").get("/api/v1/tasks", TaskList).tasks
    assert grid.server.client("viewer").get(f"/api/v1/tasks/{task.task}", TaskPage).sites == (SITE,)


def test_jobs_run_in_panda_and_the_report_of_the_wrapper_decides(grid: Grid) -> None:
    submit(grid.server, "echo 'End of the decoding!'", chunks=3)
    assert "grid: 3 batch jobs submitted" in grid.cycle()
    good, silent, unwanted = grid.panda.generate()
    assert grid.panda.tasks[40_000].parameters["site"] == SITE
    grid.cycle()
    assert grid.states() == ["sent", "sent", "sent"], "they wait in PanDA's queue"

    ran = grid.pilot(good)
    assert ran.returncode == 0, ran.stderr
    wait_for(lambda: grid.attempt_of(good).state == "finished", grid.server)
    grid.panda.end(good, "failed", pilotErrorCode=1201)  # PanDA may say what it likes
    grid.panda.end(silent, "finished")
    grid.panda.jobs[unwanted].status = "holding"
    grid.cycle()
    wait_for(lambda: grid.attempt_of(silent).state == "lost", grid.server)
    assert grid.attempt_of(unwanted).state == "running"
    assert grid.attempt_of(good).state == "finished"

    cancelled = grid.server.command("manager", "tasks", "cancel", "t", "--why", "a wrong calibration")
    assert cancelled.returncode == 0, cancelled.stderr
    wait_for(lambda: grid.states() == ["cancelled", "cancelled", "finished"], grid.server)
    grid.cycle()
    assert grid.panda.killed == [unwanted]
    grid.cycle()
    wait_for(lambda: grid.attempt_of(unwanted).state == "cancelled", grid.server)
    assert "0 batch jobs" not in grid.cycle()
    assert len(grid.panda.tasks) == 1


def test_a_job_whose_pilot_was_ended_is_sent_again_in_another_task(grid: Grid) -> None:
    submit(grid.server, "echo 'End of the decoding!'")
    grid.cycle()
    (first,) = grid.panda.generate()
    grid.panda.end(first, "failed", pilotErrorCode=1201)
    grid.cycle()
    wait_for(lambda: grid.attempt_of(first).state == "lost", grid.server)
    refused = grid.pilot(first)
    assert refused.returncode == 64, "the ticket of an attempt that was given up"

    def submitted_again() -> bool:
        grid.cycle()
        return len(grid.panda.tasks) == 2

    wait_for(submitted_again, grid.server)
    (second,) = grid.panda.generate()
    assert grid.pilot(second).returncode == 0
    wait_for(lambda: grid.states() == ["finished"], grid.server)


def test_a_panda_that_does_not_answer_leaves_the_jobs_to_others(grid: Grid) -> None:
    submit(grid.server, "echo 'End of the decoding!'")
    grid.panda.refuses = "no production/pilot role"
    assert "the submission failed: PanDA, submit: the JEDI task was refused" in grid.cycle()
    wait_for(lambda: grid.states() == ["ready"], grid.server)
