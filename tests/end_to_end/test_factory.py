"""A factory on this machine, and the commands of PBS over a real Slurm.

Slurm and the server are processes of the test, on 127.0.0.1.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.servers.slurm import serving_slurm
from pilotext.api.schemas.agents import AgentList
from pilotext.engines.base import BatchJob, CommandEngine, Order
from pilotext.engines.pbs import PBSCommands
from pilotext.errors import BatchError
from tests.agent.test_agent import SITE, jobs, submit
from tests.engines.factory_files import label, written
from tests.support.pilotext_server import ProductionServer, production_server
from tests.support.processes import command_of, is_alive

WITHIN_S = 240.0


@pytest.mark.long(20)
def test_pbs_commands_over_slurm_submit_list_and_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are those of the package `slurm-wlm-torque`: qsub, qstat and qdel of PBS, with Slurm behind them."""
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    engine = CommandEngine(PBSCommands())
    order = Order("f1.short", script, tmp_path, label(system="pbs", options=("-o", str(tmp_path / "all.out"))), count=3)

    def jobs_of_f1() -> list[BatchJob]:
        return engine.jobs("f1.short")

    def wait_for(what: Callable[[], object]) -> None:
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, cluster.log()
            time.sleep(0.1)

    with serving_slurm(slots=2) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        assert jobs_of_f1() == []
        assert engine.submit(order).jobs == 3
        wait_for(lambda: sorted(job.queued for job in jobs_of_f1()) == [False, False, True])
        assert engine.jobs("f1.shor") == []
        cluster.kill_controller()
        with pytest.raises(BatchError):
            jobs_of_f1()
        cluster.start_controller()
        wait_for(lambda: cluster.command("sinfo", "-h", "-o", "%T").strip() != "")
        engine.cancel([job.number for job in jobs_of_f1()])
        wait_for(lambda: jobs_of_f1() == [])
        assert engine.submit(replace(order, count=1)).jobs == 1
        wait_for(lambda: [each for step in cluster.steps() for each in step.children() if "600" in command_of(each)])
        left = [each for step in cluster.steps() for each in (step, *step.children(recursive=True))]
        cluster.kill_controller()
    assert [each for each in left if is_alive(each)] == [], "nothing of a cluster outlives it, controller or not"


@pytest.mark.long(30)
def test_a_factory_on_this_machine_starts_an_agent_for_a_job_and_ends_with_its_token(tmp_path: Path) -> None:
    with production_server(tmp_path, PILOTEXT_LISTABLE_FOLDERS=str(tmp_path)) as server:
        submit(server, "echo 'End of the decoding!'")
        here = {"system": "local", "wall_s": 200_000, "idle_s": 1, "scratch": str(tmp_path)}
        file = written(tmp_path, server=server.url, labels={"here": {"site": SITE, **here}}, cycle_s=0.5)
        (tmp_path / "token").write_text(server.token("agent"))
        run = ("factory", "run", str(file))
        first = server.command("viewer", *run, "--once")
        assert first.returncode == 0, first.stderr
        assert "here: 1 batch job submitted" in first.stderr
        end = time.monotonic() + WITHIN_S
        while [job.state for job in jobs(server)] != ["finished"] or agents(server) != [("f1.here", "gone")]:
            assert time.monotonic() < end, server.log()
            time.sleep(0.2)
        assert server.command("viewer", *run, "--once").returncode == 0
        listed = server.command("viewer", "factory").stdout
        assert re.search(rf"f1 +here +{SITE} +local +0 +0 +0 +0 +1 +0 +0 .*no job waits for another agent", listed), (
            listed
        )
        assert "exec " in server.command("viewer", "factory", "script", str(file), "here").stdout
        assert server.command("viewer", "factory", "cancel", str(file), "here").stdout == "cancel: 0 batch jobs\n"
        wrong = server.command("viewer", "factory", "cancel", str(file), "her")
        assert (wrong.returncode, "Did you mean 'here'?" in wrong.stderr) == (64, True)
        (tmp_path / "token").write_text("revoked")
        ended = server.command("viewer", *run)
        assert ended.returncode == 70
        assert "token" in ended.stderr


def agents(server: ProductionServer) -> list[tuple[str, str]]:
    """Agents by name, without the number of their batch job, and state."""
    found = server.client("viewer").get("/api/v1/agents", AgentList).agents
    return [(each.name.rpartition(".")[0], each.state) for each in found]
