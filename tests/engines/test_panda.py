"""The engine for PanDA between a server and a PanDA that are made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.panda import (
    HeldAttempt,
    HeldAttempts,
    PandaJob,
    PandaJobs,
    PandaJobState,
    PandaRequest,
    PandaStates,
)
from pilotext.engines.base import BatchJob, Order, SubmissionOutcome
from pilotext.engines.panda import PandaEngine
from pilotext.engines.panda_client import JobInPanda, PandaClient
from pilotext.engines.settings import PandaSettings
from pilotext.errors import BatchError
from tests.engines.factory_files import SITE, label

NAME = "f1.grid"
AWAY = ServerError(0, "the server does not answer.")


@dataclass
class FakeServer:
    """A server that holds attempts and remembers what it was told."""

    jobs: list[PandaJob] = field(default_factory=list)
    held: list[HeldAttempt] = field(default_factory=list)
    said: list[PandaJobState] = field(default_factory=list)
    asked: list[PandaRequest] = field(default_factory=list)
    error: ServerError | None = None

    def post(self, path: str, body: Any, kind: type[Any]) -> PandaJobs | HeldAttempts:
        if path == "/api/v1/panda/jobs":
            self.asked.append(body)
            return PandaJobs(tuple(self.jobs[: body.jobs]))
        assert isinstance(body, PandaStates)
        assert (path, body.site, body.holder) == ("/api/v1/panda/states", SITE, NAME)
        if self.error is not None:
            raise self.error
        self.said += body.jobs
        return HeldAttempts(tuple(self.held))


@dataclass
class FakePanda:
    """A PanDA with the jobs of its tasks; `error` is raised by every request."""

    jobs: dict[int, list[JobInPanda]] = field(default_factory=dict)
    status: str = "running"
    error: BatchError | None = None
    tasks: list[Mapping[str, Any]] = field(default_factory=list)
    killed: list[object] = field(default_factory=list)

    def submit(self, parameters: Mapping[str, Any]) -> int:
        self._check()
        self.tasks.append(parameters)
        return 40

    def task_status(self, task: int) -> str:
        return self.status

    def task_jobs(self, task: int) -> list[JobInPanda]:
        self._check()
        return self.jobs.get(task, [])

    def kill_jobs(self, jobs: Sequence[int]) -> None:
        self.killed += jobs

    def kill_task(self, task: int) -> None:
        self.killed.append(f"task {task}")

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class World:
    engine: PandaEngine
    server: FakeServer
    panda: FakePanda

    def order(self, count: int) -> SubmissionOutcome:
        return self.engine.submit(Order(NAME, Path("unused"), Path("unused"), label(system="panda"), count))


@pytest.fixture
def world() -> World:
    server, panda = FakeServer(), FakePanda()
    settings = PandaSettings("compass", "wlcg", pilotext="/cvmfs/pilotext")
    engine = PandaEngine(
        "http://server/", label(system="panda"), settings, cast(Client, server), cast(PandaClient, panda)
    )
    return World(engine, server, panda)


def address(attempt: int) -> str:
    return f"http://server/api/v1/attempts/{attempt}/job?ticket=abc"


def in_panda(job: int, attempt: int, status: str, **fields: Any) -> JobInPanda:
    return JobInPanda(job, status, f"--job-url {address(attempt)}", **fields)


def test_jobs_of_the_server_become_one_task_with_the_wrapper_as_payload(world: World) -> None:
    world.server.jobs = [PandaJob(7, address(7), memory_mb=2000.0), PandaJob(8, address(8), memory_mb=2500.5)]
    assert world.order(2) == SubmissionOutcome(2)
    (task,) = world.panda.tasks
    assert task["pfnList"] == [address(7), address(8)]
    assert task["jobParameters"] == [{"type": "constant", "value": "--pilotext /cvmfs/pilotext --job-url ${IN/L}"}]
    assert task["transPath"] == "http://server/trf/pilotext-trf"
    assert (task["site"], task["nFiles"], task["nFilesPerJob"], task["ramCount"]) == (SITE, 2, 1, 2500)
    assert task["maxAttempt"] == 1, "our server decides what is tried again"
    assert world.server.said == [PandaJobState(7, 40, "defined"), PandaJobState(8, 40, "defined")]


def test_without_a_job_no_task_is_made(world: World) -> None:
    assert world.order(3) == SubmissionOutcome(0)
    assert (world.server.asked, world.panda.tasks) == ([PandaRequest(SITE, NAME, 3)], [])


def test_jobs_that_panda_refuses_are_given_back(world: World) -> None:
    world.server.jobs = [PandaJob(7, address(7))]
    world.panda.error = BatchError("no production role")
    assert world.order(1) == SubmissionOutcome(0, "no production role")
    assert world.server.said == [PandaJobState(7, 0, "closed", error_diag="no production role")]


def test_a_task_that_the_server_did_not_hear_of_is_recorded_later(world: World) -> None:
    world.server.jobs, world.server.error = [PandaJob(7, address(7))], AWAY
    assert world.order(1).jobs == 1
    world.server.error, world.server.held = None, [HeldAttempt(7, 0)]
    assert world.engine.jobs(NAME) == [BatchJob("task 40", queued=True)]
    assert world.server.said == [PandaJobState(7, 40, "defined")]


def test_an_attempt_without_a_task_was_never_submitted(world: World) -> None:
    world.server.held = [HeldAttempt(7, 0)]
    assert world.engine.jobs(NAME) == []
    (state,) = world.server.said
    assert (state.attempt, state.status) == (7, "closed")
    assert "before it made a JEDI task" in state.error_diag


def test_states_are_followed_and_holding_has_not_ended(world: World) -> None:
    world.server.held = [HeldAttempt(attempt, 40) for attempt in (7, 8, 9, 10)]
    failed = in_panda(103, 9, "failed", pilot_code=1305, error_code="581241", error_diag="COMPASS-1241 x: y")
    world.panda.jobs = {40: [in_panda(101, 7, "holding"), in_panda(102, 8, "activated"), failed]}
    assert world.engine.jobs(NAME) == [
        BatchJob("101", queued=False),
        BatchJob("102", queued=True),
        BatchJob("task 40", queued=True),
    ]
    assert world.server.said == [
        PandaJobState(7, 40, "holding", 101),
        PandaJobState(8, 40, "activated", 102),
        PandaJobState(9, 40, "failed", 103, 1305, "", 0, 581241, "COMPASS-1241 x: y"),
        PandaJobState(10, 40, "defined"),
    ]
    assert world.panda.killed == []


def test_a_dead_task_ends_the_attempts_without_a_job(world: World) -> None:
    world.server.held, world.panda.status = [HeldAttempt(7, 40)], "broken"
    assert world.engine.jobs(NAME) == []
    (state,) = world.server.said
    assert (state.status, state.error_diag) == ("failed", "JEDI task 40 is broken and made no job of it.")


def test_the_last_job_of_an_attempt_counts(world: World) -> None:
    world.server.held = [HeldAttempt(7, 40)]
    world.panda.jobs = {40: [in_panda(102, 7, "running"), in_panda(101, 7, "closed")]}
    assert world.engine.jobs(NAME) == [BatchJob("102", queued=False)]


def test_what_is_unwanted_is_killed_and_nothing_else(world: World) -> None:
    world.server.held = [HeldAttempt(7, 40, 101, "cancelled"), HeldAttempt(8, 40, 102)]
    world.panda.jobs = {40: [in_panda(101, 7, "running"), in_panda(102, 8, "running")]}
    world.engine.jobs(NAME)
    assert world.panda.killed == [101]


def test_a_task_is_killed_before_its_jobs_are_made_when_nothing_of_it_is_wanted(world: World) -> None:
    world.server.held = [
        HeldAttempt(7, 40, None, "cancelled"),
        HeldAttempt(8, 41, None, "cancelled"),
        HeldAttempt(9, 41),
    ]
    world.engine.jobs(NAME)
    assert world.panda.killed == ["task 40"]


def test_a_panda_that_does_not_answer_is_unknown_and_says_nothing_to_the_server(world: World) -> None:
    world.server.held, world.panda.error = [HeldAttempt(7, 40)], BatchError("away")
    with pytest.raises(BatchError, match="away"):
        world.engine.jobs(NAME)
    assert world.server.said == []


def test_a_server_that_does_not_answer_is_unknown(world: World) -> None:
    world.server.error = AWAY
    with pytest.raises(BatchError, match="the server does not answer"):
        world.engine.jobs(NAME)


def test_cancelling_a_label_kills_jobs_and_tasks_that_have_none(world: World) -> None:
    world.engine.cancel(["101", "task 40", "102", "task 40"])
    assert world.panda.killed == [101, 102, "task 40"]
    world.engine.cancel([])
    assert len(world.panda.killed) == 3
