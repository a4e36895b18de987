"""Real storage servers that are stopped for longer than any retry, and started again: nothing waits for a person."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from pilotext.profile.records import STORAGE_BREAKER
from pilotext.server.database import transact
from pilotext.server.production.cycle.cleaning import clean_logs, clean_products, finish_archiving
from pilotext.server.production.cycle.log_archives import make_archives, plan_archives
from pilotext.server.production.cycle.runner import STEPS
from pilotext.server.production.cycle.tasks import end_cancelled
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Breaker, Job, LogArchive, Product, StagedFile, Task
from pilotext.server.production.statistics.sites import list_sites
from pilotext.server.production.storage import breakers, operations
from pilotext.server.production.tape import requests, staging
from pilotext.server.production.tape.archive import keep_products
from pilotext.server.times import EPOCH
from tests.server.merged import cycle, do, product, submit_runs
from tests.server.production.tape.test_staging import limit
from tests.server.support import PARAMETERS, WHY, lease, submit
from tests.server.trail import gaps
from tests.support.xrootd_server import TapeServer, XrdServer, serving, serving_tape

__all__ = ["limit"]
pytestmark = pytest.mark.usefixtures("database")

RAW = "/castor/cern.ch/compass/data/cdr{chunk}-1.raw"
TRIES = 5
"""More than a file has before somebody has to look, so often the server is found away."""


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes so fast that a server that is away is tried again at once."""
    monkeypatch.setattr(breakers, "MIN_PAUSE_S", 0.0)


@pytest.fixture
def tape() -> Iterator[TapeServer]:
    with serving_tape() as server:
        yield server


def on_tape(tape: TapeServer, chunks: int) -> None:
    paths = [RAW.format(chunk=chunk) for chunk in range(chunks)]
    for path in paths:
        tape.write(path, b"raw")
    submit(paths, staging=True, parameters={**PARAMETERS, "tape_server": base(tape)})


def base(server: XrdServer) -> str:
    return f"{server.url().rstrip('/')}/"


def tape_steps() -> None:
    StagedFile.objects.update(busy_until=EPOCH)
    staging.plan_staging()
    requests.request_files()
    requests.poll_files()
    requests.release_files()


def states() -> set[str]:
    return set(Job.objects.values_list("state", flat=True))


def until_ready() -> None:
    """The tape server brings files by a script of its own; poll it as long as that takes."""
    for _ in range(300):
        tape_steps()
        if states() == {"ready"}:
            return
    raise AssertionError(states())


def the_breaker() -> Breaker:
    return Breaker.objects.get(rule=STORAGE_BREAKER)


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize(
    "frozen",
    [
        pytest.param(False, marks=pytest.mark.fault("staging", "the tape server is away for longer than any retry")),
        pytest.param(True, marks=pytest.mark.fault("staging", "the tape server is mute for longer than any retry")),
    ],
)
def test_files_wait_for_a_tape_server_that_is_away_and_come_when_it_is_back(
    tape: TapeServer, monkeypatch: pytest.MonkeyPatch, *, frozen: bool
) -> None:
    on_tape(tape, 3)
    if frozen:
        monkeypatch.setattr(operations, "STALL_S", 1.0)
        tape.kill(signal.SIGSTOP)
    else:
        tape.stop()
    for _ in range(TRIES):
        tape_steps()
    assert states() == {"staging"}
    assert {(file.state, file.tries) for file in StagedFile.objects.all()} == {("wanted", 0)}
    (listed,) = list_sites().breakers
    assert (listed.rule, listed.scope, listed.state) == (STORAGE_BREAKER, base(tape).rstrip("/"), "open")
    assert listed.trips >= TRIES
    assert listed.why
    assert lease() is None
    monkeypatch.setattr(operations, "STALL_S", 60.0)
    if frozen:
        tape.kill(signal.SIGCONT)
    else:
        tape.start()
    until_ready()
    assert (the_breaker().state, tape.requests("stage")) == ("closed", 1)
    assert gaps() == []


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "the tape server goes away while it brings files")
def test_files_that_are_on_their_way_when_the_tape_server_goes_away_come_all_the_same(tape: TapeServer) -> None:
    tape.behave(MOUNT_MS=3_600_000)
    on_tape(tape, 2)
    tape_steps()
    assert set(StagedFile.objects.values_list("state", flat=True)) == {"requested"}
    tape.stop()
    for _ in range(TRIES):
        tape_steps()
    assert states() == {"staging"}
    assert {(file.state, file.tries) for file in StagedFile.objects.all()} == {("requested", 0)}
    for path in (RAW.format(chunk=chunk).lstrip("/") for chunk in range(2)):  # the tape system did its part meanwhile
        (tape.store / path).parent.mkdir(parents=True, exist_ok=True)
        (tape.store / path).write_bytes(b"raw")
    tape.start()
    until_ready()
    assert gaps() == []


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "a file is lost on a tape server that is there")
def test_a_file_that_a_tape_server_does_not_have_waits_for_a_person_and_closes_nothing(tape: TapeServer) -> None:
    on_tape(tape, 2)
    (tape.tape / RAW.format(chunk=0).lstrip("/")).unlink()
    for _ in range(300):
        tape_steps()
        if states() == {"manual", "ready"}:
            break
    assert list(Job.objects.order_by("chunk").values_list("state", flat=True)) == ["manual", "ready"]
    assert not Breaker.objects.exists()


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "the tape server goes away before files are given back")
@pytest.mark.parametrize("asked_again", [False, True], ids=["not needed", "wanted again"])
def test_a_request_is_given_back_when_the_tape_server_is_back(tape: TapeServer, *, asked_again: bool) -> None:
    on_tape(tape, 2)
    until_ready()
    requests = set(StagedFile.objects.values_list("request", flat=True))
    assert all(requests)
    if asked_again:
        transact(lambda: staging.put_offline(StagedFile.objects.all(), "it is not on disk any more"))
    else:
        transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
        end_cancelled()
    assert states() == ({"defined"} if asked_again else {"cancelled"})
    tape.stop()
    for _ in range(TRIES):
        tape_steps()
    assert the_breaker().state == "open"
    assert set(StagedFile.objects.values_list("request", flat=True)) == requests
    tape.start()
    for _ in range(TRIES):
        tape_steps()
    assert (tape.requests("evict"), tape.requests("stage")) == (1, 2 if asked_again else 1)
    assert gaps() == []


# ------------------------------------------------------------------------------------- keeping, archiving, cleaning


class ServedFiles:
    """The files of servers by their URLs, for the jobs that are done here."""

    def __init__(self, *servers: XrdServer) -> None:
        self._servers = servers

    def __setitem__(self, url: str, data: bytes) -> None:
        server, path = self._place(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        server.give_to_server()

    def __getitem__(self, url: str) -> bytes:
        return self._place(url)[1].read_bytes()

    def _place(self, url: str) -> tuple[XrdServer, Path]:
        server = next(each for each in self._servers if url.startswith(base(each)))
        return server, server.store / url.removeprefix(base(server)).lstrip("/")


@dataclass(frozen=True)
class Servers:
    eos: XrdServer
    tape: XrdServer

    def do_all(self) -> None:
        files = SimpleNamespace(files=ServedFiles(self.eos, self.tape))
        while (given := lease()) is not None:
            do(given, files)  # type: ignore[arg-type]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        eos = stack.enter_context(serving([("/eos/experiment/compass", "r/w")]))
        tape = stack.enter_context(serving([("/castor/cern.ch/compass", "r/w"), ("/castor/cern.ch/user", "r/w")]))
        yield Servers(eos, tape)


def merged_run(servers: Servers) -> None:
    parameters = {**PARAMETERS, "eos_server": base(servers.eos), "tape_server": base(servers.tape)}
    submit_runs({1: 1}, parameters=parameters)
    servers.do_all()
    cycle()
    servers.do_all()


def storage_steps() -> None:
    for model in (Product, LogArchive):
        model.objects.update(busy_until=EPOCH)
    for step in (keep_products, plan_archives, make_archives, clean_products, clean_logs, finish_archiving):
        step()


def nearly_given_up() -> None:
    """One more try that was counted would be the last."""
    for model in (Product, LogArchive):
        model.objects.update(tries=9)


@pytest.mark.parametrize("which", ["eos", "tape"])
@pytest.mark.fault("keeping", "a storage server is away for longer than any retry")
def test_a_merged_file_waits_for_a_server_that_is_away_and_is_kept_when_it_is_back(
    servers: Servers, which: str
) -> None:
    merged_run(servers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.server.merged.STEPS", tuple(step for step in STEPS if step.lane != "copies"))
        cycle(2)
    assert product().state == "checked"
    away: XrdServer = getattr(servers, which)
    nearly_given_up()
    away.stop()
    for _ in range(2):
        storage_steps()
    assert (product().state in ("checked", "copying"), product().tries) == (True, 9)
    assert (the_breaker().state, the_breaker().scope) == ("open", base(away).rstrip("/"))
    away.start()
    storage_steps()
    assert (product().state, the_breaker().state) == ("kept", "closed")
    assert gaps() == []


@pytest.mark.parametrize("which", ["eos", "tape"])
@pytest.mark.fault("archiving", "a storage server is away for longer than any retry")
def test_a_task_that_is_put_away_waits_for_a_server_that_is_away_and_is_archived_when_it_is_back(
    servers: Servers, which: str
) -> None:
    merged_run(servers)
    cycle(3)
    task = Task.objects.get()
    assert task.state == "done"
    transact(lambda: move_task(task.pk, "archive", WHY))
    plan_archives()
    nearly_given_up()
    away: XrdServer = getattr(servers, which)
    away.stop()
    for _ in range(2):
        storage_steps()
    assert Task.objects.get().state == "archiving"
    left = {model: model.objects.exclude(state__in=("kept", "cleaned")) for model in (LogArchive, Product)}
    assert "manual" not in {state for rows in left.values() for state in rows.values_list("state", flat=True)}
    assert {tries for rows in left.values() for tries in rows.values_list("tries", flat=True)} == {9}
    assert (the_breaker().state, the_breaker().scope) == ("open", base(away).rstrip("/"))
    away.start()
    for _ in range(4):
        storage_steps()
    assert (Task.objects.get().state, the_breaker().state) == ("archived", "closed")
    assert gaps() == []
