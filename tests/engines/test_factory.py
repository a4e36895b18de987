"""Cycles of a factory: what it asks, submits and reports, with a batch system and a server that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.factories import EndedBatchJob, FactoryReport, FactorySeen, LabelReport, SiteWork
from pilotext.engines.base import BatchJob, Order, SubmissionOutcome
from pilotext.engines.decision import FIRST_PAUSE_S
from pilotext.engines.factory import FactoryRun, only_one
from pilotext.errors import BatchError, UsageError
from tests.engines.factory_files import SITE, factory_file

AWAY = ServerError(0, "the server does not answer.")


@dataclass
class FakeBatch:
    """A batch system whose jobs stay queued; `down` is why it does not answer, `refuses` why it takes none."""

    job_id: str = "$$"
    end: str = ""
    down: str = ""
    refuses: str = ""
    accepts: int = 1000
    orders: list[Order] = field(default_factory=list)
    known: list[BatchJob] = field(default_factory=list)

    def submit(self, order: Order) -> SubmissionOutcome:
        self.orders.append(order)
        number = min(order.count, self.accepts) if self.refuses else order.count
        self.known += [BatchJob(str(len(self.known) + index), queued=True) for index in range(number)]
        return SubmissionOutcome(number, self.refuses)

    def jobs(self, name: str) -> list[BatchJob]:
        if self.down:
            raise BatchError(self.down)
        return list(self.known)

    def cancel(self, numbers: Sequence[str]) -> None:
        self.known = [job for job in self.known if job.number not in numbers]


@dataclass
class FakeServer:
    """A server with some jobs that wait; `error` is raised by every request, or by reports alone."""

    waiting: int = 0
    hold: str = ""
    error: ServerError | None = None
    report_error: ServerError | None = None
    reports: list[FactoryReport] = field(default_factory=list)

    def get(self, path: str, kind: type[SiteWork], query: dict[str, Any]) -> SiteWork:
        assert (path, query["site"], query["factory"]) == ("/api/v1/factories/work", SITE, "f1")
        if self.error is not None:
            raise self.error
        return SiteWork(SITE, self.waiting, hold=self.hold)

    def post(self, path: str, body: FactoryReport, kind: type[FactorySeen]) -> FactorySeen:
        assert path == "/api/v1/factories"
        if error := self.error or self.report_error:
            raise error
        self.reports.append(body)
        return FactorySeen(1)


@dataclass
class World:
    run: FactoryRun
    batch: FakeBatch
    server: FakeServer
    said: list[str]
    at: list[float]

    def cycle(self) -> LabelReport | None:
        """Run one cycle a minute later; returns what was reported of the label."""
        self.at[0] += 60
        before = len(self.server.reports)
        self.run.cycle()
        return self.server.reports[-1].labels[0] if len(self.server.reports) > before else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    file = factory_file(tmp_path, labels={"short": {"system": "slurm", "max_jobs": 8, "max_queued": 5, "burst": 3}})
    server, batch, said, at = FakeServer(), FakeBatch(), list[str](), [1e9]
    run = FactoryRun(file, cast("Client", server), said.append, clock=lambda: at[0])
    run.engines = {"short": batch}
    return World(run, batch, server, said, at)


def test_jobs_that_wait_are_answered_with_batch_jobs_up_to_the_limits(world: World) -> None:
    world.server.waiting = 100
    reported = [world.cycle() for _ in range(3)]
    assert [each and (each.requested, each.submitted, each.queued) for each in reported] == [
        (3, 3, 3),
        (5, 5, 5),
        (5, 5, 5),
    ]
    last = reported[-1]
    assert last is not None
    assert (last.site, last.system, last.starts, last.running) == (SITE, "slurm", "agent", 0)
    assert last.message == "5 batch jobs are queued, the most allowed"
    world.batch.known = [BatchJob(str(number), queued=False) for number in range(6)]
    again = world.cycle()
    assert again is not None and (again.queued, again.running) == (2, 6)
    assert again.agents == tuple(f"f1.short.{number}" for number in range(6))
    order = world.batch.orders[0]
    assert order.name == "f1.short"
    assert order.script.read_text().startswith("#!/bin/sh\n")
    assert order.output.is_dir()


def test_an_answer_of_the_batch_system_that_did_not_come_is_no_reason_to_submit(world: World) -> None:
    world.server.waiting = 100
    world.batch.down = "unable to contact the controller"
    report = world.cycle()
    assert report is not None
    assert (report.queued, report.running, report.submitted, report.agents) == (None, None, 0, None)
    assert report.message == "the number of batch jobs is unknown: slurm: unable to contact the controller"
    world.batch.down = ""
    world.cycle()
    assert len(world.batch.known) == 3


def test_nothing_is_submitted_while_the_server_is_away_or_holds_the_site(world: World) -> None:
    world.server.waiting, world.server.error = 100, AWAY
    assert world.cycle() is None
    world.server.error, world.server.hold = None, "the site is closed: maintenance"
    report = world.cycle()
    assert report is not None and report.message == "the site is closed: maintenance"
    assert world.batch.orders == []


def test_a_report_that_was_not_taken_does_not_stop_the_factory_and_nothing_of_it_is_lost(world: World) -> None:
    world.server.waiting, world.server.report_error = 100, ServerError(500, "a mistake")
    assert world.cycle() is None
    assert "the server did not take the report: a mistake" in world.said
    world.server.report_error = None
    report = world.cycle()
    assert report is not None and report.submitted == 5


def test_submissions_that_fail_are_followed_by_pauses_that_grow(world: World) -> None:
    world.server.waiting, world.batch.refuses, world.batch.accepts = 100, "quota exceeded", 0
    counts = []
    for _ in range(8):
        report = world.cycle()
        assert report is not None
        assert report.message == "the submission failed: quota exceeded"
        counts.append(len(world.batch.orders))
    assert FIRST_PAUSE_S == 60
    assert counts == [1, 2, 2, 3, 3, 3, 3, 4]
    assert report is not None
    assert (report.failed, report.submitted) == (4, 0)
    world.batch.refuses = ""
    world.at[0] += 3600
    world.cycle()
    assert len(world.batch.known) == 3


def test_a_submission_that_half_failed_counts_what_the_batch_system_has(world: World) -> None:
    world.server.waiting, world.batch.refuses, world.batch.accepts = 100, "quota exceeded", 2
    report = world.cycle()
    assert report is not None
    assert (report.requested, report.submitted, report.failed, report.queued) == (3, 2, 1, 2)


def test_a_folder_that_cannot_be_written_is_a_submission_that_failed(world: World) -> None:
    world.server.waiting = 100
    world.run.folder = Path("/proc/nowhere")
    report = world.cycle()
    assert report is not None
    assert report.message.startswith("the submission failed: /proc/nowhere: ")
    assert (report.requested, report.failed) == (3, 1)


def test_a_factory_that_starts_anew_finds_its_batch_jobs(world: World) -> None:
    world.server.waiting = 100
    world.cycle()
    anew = FactoryRun(world.run.file, world.run.client, world.said.append, clock=lambda: world.at[0])
    anew.engines = world.run.engines
    anew.cycle()
    anew.cycle()
    assert len(world.batch.known) == 5
    assert world.server.reports[-1].labels[0].submitted == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_ends_the_factory(world: World, status: int) -> None:
    world.server.error = ServerError(status, "this token was revoked.")
    with pytest.raises(ServerError, match="revoked"):
        world.run.work()
    assert world.batch.orders == []


def test_a_cancelled_label_has_no_batch_jobs(world: World) -> None:
    world.server.waiting = 2
    world.cycle()
    assert world.run.cancel("short") == 2
    assert world.batch.known == []


ENDED = BatchJob("7_1", queued=False, end="preempted")


def test_ends_of_batch_jobs_are_told_once_and_count_no_more(world: World) -> None:
    world.server.waiting = 100
    world.batch.known = [ENDED, BatchJob("7_2", queued=False), BatchJob("7_3", queued=True)]
    first, second = world.cycle(), world.cycle()
    assert first is not None and second is not None
    assert (first.queued, first.running, first.agents) == (4, 1, ("f1.short.7_2",))
    assert (first.ended, second.ended) == ((EndedBatchJob("f1.short.7_1", "preempted"),), ())


def test_ends_that_the_server_did_not_take_are_told_again(world: World) -> None:
    world.batch.known = [ENDED]
    world.server.report_error = ServerError(500, "a mistake")
    assert world.cycle() is None
    world.server.report_error = None
    world.batch.down = "unable to contact the controller"
    away = world.cycle()
    world.batch.down = ""
    there = world.cycle()
    assert away is not None and there is not None
    assert (len(away.ended), len(there.ended)) == (0, 1)


def test_ended_batch_jobs_are_not_cancelled(world: World) -> None:
    world.batch.known = [ENDED]
    assert world.run.cancel("short") == 0
    assert world.batch.known == [ENDED]


def test_a_factory_runs_once(world: World) -> None:
    refused = pytest.raises(UsageError, match="a factory f1 is running already")
    with only_one(world.run.file), refused, only_one(world.run.file):
        pytest.fail("both run")
    with only_one(world.run.file):
        pass
