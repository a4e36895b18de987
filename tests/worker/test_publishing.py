"""Permission to publish: asked just before the outputs get their names, of whoever knows whether they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pilotext.api.schemas.attempts import OUTPUTS_KEPT, HeartbeatAnswer
from pilotext.errors import TransientError
from pilotext.model.permission import Permission
from pilotext.model.report import Report
from pilotext.rules.loader import load_rules
from pilotext.storage import registry
from pilotext.storage.base import Copied
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import InProcessMover
from pilotext.worker import permission
from pilotext.worker.kept import Keeping
from pilotext.worker.lifecycle import run_job
from pilotext.worker.stop_signals import StopSwitch, ToldToStop
from tests.support.jobs import make_job
from tests.support.report_server import ReportServer, dead_url, drip, raw_server, report_server

OUT = "memory://eos/out/out.dat"
STOP = msgspec.json.encode(HeartbeatAnswer("stop", 0.0, "this attempt is lost"))
TOKEN = "t0ken-of-this-attempt"

Runner = Callable[..., Report]


@pytest.fixture
def memory() -> Iterator[MemoryStorage]:
    storage = MemoryStorage()
    registry.register("memory", storage)
    storage.files[OUT] = b"of the attempt that has the job now\n"
    yield storage
    registry.unregister("memory")


@pytest.fixture
def run(tmp_path: Path, memory: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run the second attempt of a job that writes one output, where the first may have published."""
    monkeypatch.setenv("PILOTEXT_SPOOL", str(tmp_path / "spool"))

    def run(url: str, *, outputs: bool = True, keeping: Keeping | None = None) -> Report:
        switch = StopSwitch()
        job = make_job(
            attempt=2,
            command=["/bin/bash", "-c", "echo mine > out.dat"],
            outputs=[{"name": "out.dat", "destinations": [OUT]}] if outputs else [],
            report={"url": url, "token": TOKEN},
        )
        return run_job(
            job,
            tmp_path / "work",
            load_rules("COMPASS"),
            mover=InProcessMover(switch.tick),
            policy=Policy(tries=1, first_wait_s=0),
            switch=switch,
            warn=pytest.fail,
            keeping=keeping,
        )

    return run


@pytest.fixture
def server() -> Iterator[ReportServer]:
    with report_server() as server:
        yield server


def test_a_job_that_is_still_wanted_is_published(run: Runner, memory: MemoryStorage, server: ReportServer) -> None:
    assert run(server.url()).verdict.verdict == "success"
    assert memory.files == {OUT: b"mine\n"}
    (beat,) = server.heartbeats
    assert (beat.path, beat.authorization) == ("/api/v1/attempts/1/heartbeat", f"Bearer {TOKEN}")
    assert msgspec.json.decode(beat.body)["phase"] == "stage-out"


@pytest.mark.fault("stage-out", "pilot cut off from its server: the job was given to another attempt meanwhile")
@pytest.mark.parametrize("status", [200, 401, 403, 404, 409, 410])
def test_an_attempt_that_has_lost_its_job_publishes_nothing(
    run: Runner, memory: MemoryStorage, server: ReportServer, status: int
) -> None:
    server.heartbeat_statuses, server.heartbeat_body = [status], STOP
    before = dict(memory.files)
    report = run(server.url())
    assert memory.files == before
    assert (report.exit_status, report.verdict.code, report.outputs) == (69, "COMPASS-5010", ())
    why = "this attempt is lost" if status == 200 else f"status {status} of 127.0.0.1"
    assert f"the server says that the outputs are not wanted any more ({why}" in report.verdict.diag
    assert len(server.requests) == 1, "it reports all the same"


@pytest.fixture
def away(memory: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the storage take nothing."""

    def put(*, url: str, **_: object) -> Copied:
        raise TransientError(url, "it is away")

    monkeypatch.setattr(memory, "put", put)


@pytest.mark.usefixtures("away")
@pytest.mark.fault("stage-out", "order to stop while the server is told that outputs are kept")
def test_an_order_to_stop_leaves_kept_outputs_where_they_are(
    run: Runner, server: ReportServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_tick: object) -> Permission:
        raise ToldToStop("SIGTERM")

    monkeypatch.setattr("pilotext.worker.publishing.server_asker", lambda *_: ask)
    report = run(server.url(), keeping=Keeping(tmp_path / "kept", after=0.0))
    assert report.kept is not None
    assert f"the outputs are kept in {report.kept.folder}" in report.findings[-1].text
    assert (Path(report.kept.folder) / "out.dat").read_bytes() == b"mine\n"


@pytest.mark.usefixtures("away")
def test_the_server_hears_that_outputs_are_kept(run: Runner, server: ReportServer, tmp_path: Path) -> None:
    report = run(server.url(), keeping=Keeping(tmp_path / "kept", after=0.0))
    assert report.kept is not None, report.verdict.diag
    assert [msgspec.json.decode(beat.body)["phase"] for beat in server.heartbeats] == [OUTPUTS_KEPT]


@pytest.mark.fault("stage-out", "server away, busy or confused just before the outputs are published")
@pytest.mark.parametrize(("status", "body"), [(204, b""), (500, b""), (503, STOP), (302, b""), (200, b"<html>")])
def test_a_server_that_says_nothing_usable_costs_no_outputs(
    run: Runner, memory: MemoryStorage, server: ReportServer, status: int, body: bytes
) -> None:
    server.heartbeat_statuses, server.heartbeat_body = [status], body
    assert run(server.url()).verdict.verdict == "success"
    assert memory.files == {OUT: b"mine\n"}


@pytest.mark.fault("stage-out", "server gone just before the outputs are published")
def test_a_server_that_is_gone_costs_no_outputs(run: Runner, memory: MemoryStorage) -> None:
    report = run(dead_url())
    assert (report.exit_status, memory.files) == (0, {OUT: b"mine\n"})


@pytest.mark.fault("stage-out", "server that never ends its answer")
def test_a_server_that_never_ends_its_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "ANSWER_WITHIN_S", 0.5)
    ticks = []
    with raw_server(drip) as url:
        ask = permission.server_asker(make_job(report={"url": url, "token": TOKEN}).report, "stage-out")
        assert ask is not None
        assert ask(lambda: ticks.append(1)).word == "unknown"
    assert ticks, "an order to stop is heard meanwhile"


def test_a_job_that_publishes_nothing_needs_no_permission(run: Runner, server: ReportServer) -> None:
    assert run(server.url(), outputs=False).verdict.verdict == "success"
    assert server.heartbeats == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/jobs/1", "http://127.0.0.1:1/report/1"])
def test_a_server_with_addresses_of_another_kind_is_not_asked(url: str) -> None:
    assert permission.server_asker(make_job(report={"url": url, "token": TOKEN}).report, "stage-out") is None
    assert permission.server_asker(None, "stage-out") is None
