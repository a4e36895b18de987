"""A manager's day, by the command: what failed, what needs a decision, deciding, and waiting for the end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import LeasedJob
from pilotext.api.schemas.tasks import TaskList
from pilotext.model.report import Report
from pilotext.server.boot import boot
from tests.support.pilotext_server import COMMAND, ProductionServer, production_server
from tests.support.xrootd_server import serving

boot()

from tests.server.support import SITE, raw, report_of, task_document  # noqa: E402  needs boot


class Worker:
    """An agent that makes reports without running anything."""

    def __init__(self, server: ProductionServer) -> None:
        self.client: Client = server.client("agent")
        self.agent = self.client.hello(AgentRegistration("a1", SITE, slots=10)).agent

    def lease(self) -> LeasedJob:
        end = time.monotonic() + 60
        while (lease := self.client.job(self.agent, "wn1").lease) is None:  # the server looks ahead once a moment
            assert time.monotonic() < end, "there is no job"
            time.sleep(0.1)
        return lease

    def end(self, cause: str | None = None, action: str | None = None) -> LeasedJob:
        lease = self.lease()
        report: Report = report_of(lease, cause=cause, action=action)  # type: ignore[arg-type]
        assert self.client.report(lease.attempt, lease.token, report).accepted
        return lease


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionServer]:
    # The worker of these tests publishes nothing.
    with production_server(tmp_path_factory.mktemp("server"), PILOTEXT_VERIFY_OUTPUTS="no") as running:
        yield running


class Manager:
    """Runs the command, with one token for all of it."""

    def __init__(self, server: ProductionServer) -> None:
        self.server = server

    def __call__(self, *words: str, role: str = "manager", status: int = 0) -> str:
        done = self.server.command(role, *words)
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def manager(server: ProductionServer) -> Manager:
    return Manager(server)


@pytest.fixture(scope="module")
def known(server: ProductionServer, tmp_path_factory: pytest.TempPathFactory) -> Manager:
    """A manager with the task `day` and an agent: those of the tests before, where the same process has run these."""
    manager = Manager(server)
    if "day" not in [task["name"] for task in manager.json("tasks")["tasks"]]:
        submit(manager, tmp_path_factory.mktemp("day"), "day", 3)
    Worker(server)
    return manager


def submit(manager: Manager, folder: Path, name: str, chunks: int) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task_document([raw(1, chunk) for chunk in range(chunks)], name=name)))
    manager("submit", str(path))


def test_a_managers_day(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "day", 3)
    worker = Worker(manager.server)
    bad = [worker.end("input-corrupt", "manual-check").job.job for _ in range(2)]
    worker.end()

    errors = manager.json("errors", "--by", "code,site")["errors"]
    assert [(row["code"], row["site"], row["attempts"], row["jobs"]) for row in errors] == [
        ("COMPASS-1241", SITE, 2, 2)
    ]
    assert manager.json("errors", "--until", "2020-01-01", "--since", "2019-01-01")["errors"] == []

    assert [item["job"] for item in manager.json("jobs", "manual", "--task", "day")["items"]] == bad
    manager("jobs", "assign", str(bad[0]), "--to", "igor")
    manager("jobs", "note", str(bad[0]), "--why", "asked the shift crew", role="expert")
    told = manager("jobs", "manual", "--task", "day")
    assert "investigated by igor, 1 note" in told
    assert "asked the shift crew" in manager("jobs", "show", str(bad[0]))

    manager("jobs", "resend", str(bad[0]), "--why", "copied anew")
    chosen = ("jobs", "fail", "--task", "day", "--state", "manual", "--why", "hopeless")
    shown = manager(*chosen, status=64)
    assert "fail would move 1 job:" in shown
    assert f"job {bad[1]} of day" in shown
    assert "Give --yes" in shown
    assert [item["job"] for item in manager.json("jobs", "manual", "--task", "day")["items"]] == bad[1:]
    assert ": 1 job" in manager(*chosen, "--yes")
    worker.end()
    (run,) = manager.json("runs", "day")["runs"]
    assert (run["run"], run["jobs"]) == (1, {"finished": 2, "failed": 1})
    told = manager("tasks", "wait", "day", "--within", "60", status=66)
    assert "done" in told
    assert "hopeless" in manager("tasks", "history", "day")


def test_a_task_whose_jobs_have_all_finished_is_a_success(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "good", 1)
    manager("tasks", "wait", "good", "--within", "0", status=69)
    Worker(manager.server).end()
    manager("tasks", "wait", "good", "--within", "60")


def test_a_folder_of_a_storage_server_is_submitted(manager: Manager, tmp_path: Path) -> None:
    with serving() as eos:
        folder = eos.store / "eos" / "compass" / "W14"
        (folder / "other").mkdir(parents=True)
        for name in ("cdr2-275772.raw", "cdr1-275772.raw", "README", "other/cdr3-275772.raw"):
            (folder / name).write_bytes(b"events")
        document = task_document(name="folder") | {"files": {"folder": [eos.url("/eos/compass/W14/")]}}
        path = tmp_path / "folder.yaml"
        path.write_text(yaml.safe_dump(document))
        told = json.loads(manager("submit", str(path), "--dry-run", "--json", status=64))
        assert [entry["file"].rpartition("/")[2] for entry in told["refused"]] == ["README"]
        assert [job["inputs"][0]["sources"] for job in told["jobs"]] == [
            [eos.url(f"/eos/compass/W14/cdr{chunk}-275772.raw")] for chunk in (1, 2)
        ]
        assert "README" in manager("submit", str(path), status=64)
        assert "2 jobs" in manager("submit", str(path), "--leave-out")
        assert len(manager.json("jobs", "--task", "folder")["jobs"]) == 2
        path.write_text(path.read_text().replace("W14/", "W15/"))
        assert "W15" in manager("submit", str(path), "--dry-run", status=70)
    manager("tasks", "cancel", "folder", "--why", "its server has gone")


def test_a_closed_site_gets_no_jobs_until_it_is_opened(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "closed", 1)
    manager("sites", "close", SITE, "--why", "maintenance")
    worker = Worker(manager.server)
    assert worker.client.job(worker.agent, "wn1").lease is None
    assert "maintenance" in manager("sites")
    manager("sites", "open", SITE, "--why", "it is over")
    worker.end()
    assert [agent["name"] for agent in manager.json("agents")["agents"]] == ["a1"]
    assert manager.json("signatures")["signatures"] == []


def test_a_held_run_is_merged_without_its_hopeless_chunk(manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "held.yaml"
    document = task_document([raw(5, chunk) for chunk in range(3)], name="held", merges=["mdst"])
    path.write_text(yaml.safe_dump(document))
    manager("submit", str(path))
    worker = Worker(manager.server)
    bad = worker.end("input-corrupt", "fail").job.job
    for _ in range(2):
        worker.end()
    wait_for(lambda: manager.json("runs", "held", "--state", "manual")["runs"])
    assert "1 of 3 chunks is not there" in manager("runs", "held")
    refused = manager(
        "runs", "merge-without", "held", "--state", "manual", "--why", "x", "--yes", role="viewer", status=70
    )
    assert "role expert" in refused
    why = ("--why", "its raw file is damaged on tape")
    assert "merge-without: 1 product" in manager("runs", "merge-without", "held", "--run", "5", *why)
    wait_for(lambda: manager.json("jobs", "--task", "held", "--state", "ready")["jobs"])
    merge = worker.lease()
    assert merge.job.kind == "merging"
    assert len(merge.job.inputs) == 2
    (product,) = manager.json("runs", "show", "held", "--run", "5")["products"]
    assert (product["state"], product["left_out"], product["round"]) == ("merging", [bad], 2)
    assert "remerge: 1 product" in manager("runs", "remerge", "held", "--run", "5", "--merge", "mdst", *why)
    assert manager.json("runs", "show", "held")["products"][0]["round"] == 3
    assert "accept: 0 products" in manager("runs", "accept", "held", "--run", "5", *why, status=64)
    assert "damaged on tape" in manager("tasks", "history", "held")
    manager("tasks", "cancel", "held", "--why", "enough")


def test_a_cancelled_task_is_resumed(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "again", 2)
    manager("tasks", "cancel", "again", "--why", "wrong beam file")
    wait_for(lambda: len(manager.json("jobs", "--task", "again", "--state", "cancelled")["jobs"]) == 2)
    assert "does not allow start" in manager("tasks", "start", "again", "--why", "x", status=64)
    manager("tasks", "resume", "again", "--why", "it was right after all")
    wait_for(lambda: manager.json("tasks", "show", "again")["task"]["state"] == "running")
    worker = Worker(manager.server)
    for _ in range(2):
        assert worker.end().job.task == "again"
    manager("tasks", "wait", "again", "--within", "60")


def test_a_task_is_changed_while_it_runs(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "plain", 1)
    submit(manager, tmp_path, "urgent", 1)
    manager("tasks", "set", "urgent", "--priority", "500", "--share", "2", "--why", "for the conference")
    assert "already" in manager("tasks", "set", "urgent", "--priority", "500", "--why", "x", status=64)
    worker = Worker(manager.server)
    assert [worker.end().job.task for _ in range(2)] == ["urgent", "plain"]
    assert "priority 500" in manager("tasks", "history", "urgent")


def test_a_site_is_limited_and_a_breaker_opened_by_hand(manager: Manager, tmp_path: Path) -> None:
    submit(manager, tmp_path, "limited", 1)
    manager("sites", "limit", SITE, "--most", "0", "--why", "its storage is slow")
    worker = Worker(manager.server)
    assert worker.client.job(worker.agent, "wn1").lease is None
    manager("sites", "limit", SITE, "--most", "profile", "--why", "it is fast again")
    manager("sites", "hold", "--rule", "conditions database", "--why", "it is being moved")
    assert worker.client.job(worker.agent, "wn1").lease is None
    (held,) = manager.json("sites")["breakers"]
    assert (held["rule"], held["why"]) == ("conditions database", "it is being moved")
    manager("sites", "close", "--breaker", str(held["breaker"]), "--why", "it is back")
    worker.end()


def test_a_real_agent_that_is_drained_ends_by_itself(manager: Manager) -> None:
    process = manager.server.agent("--site", SITE, name="to-drain")
    wait_for(lambda: "to-drain" in manager("agents", "--state", "active"))
    assert "drain: 1 agent" in manager("agents", "drain", "to-drain", "--why", "its node is to be repaired")
    assert process.wait(120) == 0
    assert "to-drain is not an active agent" in manager("agents", "drain", "to-drain", "--why", "x", status=64)


def test_tokens_are_made_listed_and_revoked(manager: Manager) -> None:
    made = manager("tokens", "make", "eva", "--role", "viewer", "--days", "30").strip()
    assert Client(manager.server.url, made).get("/api/v1/tasks", TaskList).tasks is not None
    listed = manager("tokens", "list", "eva")
    assert "eva" in listed
    assert made not in listed
    assert "role manager" in manager("tokens", role="expert", status=70)
    assert "tokens revoked: 1" in manager("tokens", "revoke", "eva", "--why", "she left")
    assert "tokens revoked: 0" in manager("tokens", "revoke", "eva", "--why", "again", status=64)
    wait_for(lambda: refused(manager.server.url, made))
    assert manager.json("tokens", "list", "eva")["tokens"] == []
    assert len(manager.json("tokens", "list", "eva", "--all")["tokens"]) == 1
    server = manager.server
    words = [*COMMAND, "server", "user", "--user", "maria", "--role", "expert"]
    subprocess.run(words, env=server.env, check=True)
    assert [(row["user"], row["role"]) for row in manager.json("users")["users"]] == [("maria", "expert")]


def refused(url: str, token: str) -> bool:
    try:
        Client(url, token).get("/api/v1/tasks", TaskList)
    except ServerError as error:
        return error.status == 401
    return False


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("jobs", "resend", "--why", "all"), 64, "no jobs are chosen"),
        (("jobs", "resend", "1"), 64, "required: --why"),
        (("jobs", "show", "999999"), 64, "there is no job 999999"),
        (("jobs", "resend", "--task", "dya", "--why", "x"), 64, "there is no task 'dya'. Did you mean 'day'?"),
        (("jobs", "fail", "--state", "asleep", "--why", "x"), 64, "there is no state 'asleep'"),
        (("runs", "accept", "nobody", "--run", "1", "--why", "x"), 64, "there is no task 'nobody'"),
        (("runs", "remerge", "day", "--why", "x"), 64, "no runs are chosen"),
        (("tasks", "set", "day", "--why", "x"), 64, "no setting is given"),
        (("sites", "limit", SITE, "--most", "many", "--why", "x"), 64, "many is not a number"),
        (("sites", "hold", "--rule", "broken site", "--why", "x"), 64, "give a site"),
        (("agents", "drain", "--why", "x"), 64, "no agents are chosen"),
        (("tokens", "make"), 64, "required: LABEL"),
        (("tokens", "revoke", "--why", "x"), 64, "no token is named"),
        (("runs", "nobody"), 64, "there is no task 'nobody'"),
        (("tasks", "wait", "nobody"), 64, "there is no task 'nobody'"),
        (("errors", "--by", "moon"), 64, "'count by moon' is unknown"),
        (("errors", "--since", "then"), 64, "not a point in time"),
        (("sites", "close", "NOWHERE", "--why", "x"), 64, "there is no site"),
        (("sites", "list", "CERN_COMPAS_PROD"), 64, "Did you mean 'CERN_COMPASS_PROD'?"),
        (("jobs", "--state", "maual"), 64, "Did you mean 'manual'?"),
        (("jobs", "--code", "1241"), 64, "Did you mean 'COMPASS-1241'?"),
        (("jobs", "--cause", "memry"), 64, "Did you mean 'memory'?"),
        (("jobs", "--product", "mdts"), 64, "Did you mean 'mdst'?"),
        (("jobs", "--assigned", "test-manger"), 64, "Did you mean 'test-manager'?"),
        (("jobs", "--signature", "0000"), 64, "there is no signature"),
        (("jobs", "--run", "77"), 64, "there is no run 77"),
        (("jobs", "--task", "day", "--run", "7"), 64, "task day: there is no run '7'. Known are: 1."),
        (("jobs", "list", "50"), 64, "takes no such argument"),
        (("jobs", "resend", "50", "--task", "day", "--why", "x"), 64, "has no effect"),
        (("jobs", "resend", "--code", "COMPASS-1241", "--why", "x"), 64, "no task is named"),
        (("jobs", "rejudge", "--code", "COMPASS-1241", "--act", "--why", "x"), 64, "no task is named"),
        (("jobs", "rejudge", "999999"), 64, "there is no job 999999"),
        (("jobs", "manual", "--task", "dya"), 64, "Did you mean 'day'?"),
        (("tasks", "--state", "runing"), 64, "Did you mean 'running'?"),
        (("tasks", "list", "dya"), 64, "Did you mean 'day'?"),
        (("tasks", "pause", "dya", "--why", "x"), 64, "Did you mean 'day'?"),
        (("runs", "day", "--state", "maual"), 64, "Did you mean 'manual'?"),
        (("runs", "day", "--run", "7"), 64, "there is no run"),
        (("runs", "show", "day", "--merge", "mdts"), 64, "Did you mean 'mdst'?"),
        (("errors", "--task", "dya"), 64, "Did you mean 'day'?"),
        (("errors", "--site", "CERN_COMPAS_PROD"), 64, "Did you mean 'CERN_COMPASS_PROD'?"),
        (("errors", "--code", "COMPASS-1421"), 64, "there is no code"),
        (("signatures", "--experiment", "COMPAS"), 64, "Did you mean 'COMPASS'?"),
        (("agents", "--site", "CERN_COMPAS_PROD"), 64, "Did you mean 'CERN_COMPASS_PROD'?"),
        (("agents", "list", "a2"), 64, "there is no agent 'a2'"),
        (("agents", "drain", "a2", "--why", "x"), 64, "there is no agent 'a2'"),
        (("agents", "drain", "--site", SITE, "--why", "x"), 64, "Give --yes"),
        (("tokens", "list", "test-manger"), 64, "Did you mean 'test-manager'?"),
        (("tokens", "make", "n1", "--role", "agent", "--site", "CERN_COMPAS_PROD"), 64, "site"),
        (("sites", "limit", "CERN_COMPAS_PROD", "--most", "1", "--why", "x"), 64, "Did you mean"),
        (("sites", "hold", "--rule", "broken sit", "--why", "x"), 64, "Did you mean"),
        (("sites", "open", SITE, "--why", "x"), 64, "nothing to do"),
    ],
)
def test_what_cannot_be_done_is_said_and_is_no_success(
    known: Manager, words: tuple[str, ...], status: int, said: str
) -> None:
    assert said in known(*words, status=status)


def test_a_viewer_sees_everything_and_decides_nothing(manager: Manager) -> None:
    manager("jobs", "manual", role="viewer")
    assert "role expert" in manager(
        "jobs", "resend", "--run", "1", "--all-tasks", "--why", "x", role="viewer", status=70
    )
    assert "role manager" in manager("sites", "close", SITE, "--why", "x", role="viewer", status=70)
