"""Storage servers that are away: left alone, seen where breakers are, and used again by itself when they are back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from django.db import connection

from pilotext.errors import CredentialError, DeniedError, NotFoundError, RenewalError, StorageError, TransientError
from pilotext.server.database import transact
from pilotext.server.production.cycle.breakers import watch_breakers
from pilotext.server.production.manual_decisions.sites import move_breaker
from pilotext.server.production.models import AuditEntry, Breaker, Experiment
from pilotext.server.production.profiles import remember_all
from pilotext.server.production.statistics.sites import list_sites
from pilotext.server.production.storage import breakers, operations
from pilotext.server.production.storage.breakers import ServerAwayError
from pilotext.server.times import earlier, now, to_seconds
from pilotext.storage import registry
from pilotext.storage.base import FileStat
from pilotext.storage.memory import MemoryStorage
from tests.server.meanwhile import Meanwhile
from tests.server.merged import storage
from tests.server.support import WHY, events, lease, submit
from tests.server.trail import gaps

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")

URL = "memory://eos//file"


class Away(MemoryStorage):
    """A server that can be away, for questions about files too."""

    def __init__(self) -> None:
        super().__init__()
        self.error: type[StorageError] | None = None

    def _begin(self, operation: str, url: str) -> None:
        super()._begin(operation, url)
        if self.error is not None:
            raise self.error(url, "connection refused")


@pytest.fixture
def server(storage: MemoryStorage) -> Away:
    away = Away()
    away.files[URL] = b"data"
    registry.register("memory", away)
    remember_all()
    return away


def test_a_server_that_was_not_asked_for_want_of_a_credential_is_not_away(server: Away) -> None:
    server.error = RenewalError
    with pytest.raises(RenewalError):
        do()
    assert not Breaker.objects.exists()
    server.error = TransientError
    with pytest.raises(ServerAwayError):
        do()
    assert Breaker.objects.exists()


def do(operation: str = "checksum", url: str = URL) -> object:
    with operations.moving(Experiment.objects.get(name="COMPASS").pk) as mover:
        return mover.do(operation, url=url)  # type: ignore[arg-type]


def the_breaker() -> Breaker:
    return Breaker.objects.get()


def due() -> None:
    Breaker.objects.update(due=earlier(now(), 1.0))


@pytest.mark.parametrize("error", [TransientError, CredentialError])
def test_a_server_that_is_away_is_left_alone_until_it_is_due_and_then_used_again(
    server: Away, error: type[StorageError]
) -> None:
    server.error = error
    with pytest.raises(ServerAwayError, match="memory://eos//file: memory does not answer: connection refused"):
        do()
    calls = len(server.calls)
    with pytest.raises(ServerAwayError):
        do()
    assert len(server.calls) == calls, "it is not asked before it is due"
    row = the_breaker()
    assert (row.state, row.trips, row.scope, row.why) == ("open", 1, "memory", "connection refused")
    server.error = None
    due()
    assert do() == "0400019b"
    assert (the_breaker().state, the_breaker().trips) == ("closed", 0)
    assert events("breaker", row.pk) == [("closed", "open"), ("open", "probing"), ("probing", "closed")]
    assert gaps() == []


def test_a_server_that_stays_away_is_tried_less_and_less_often_up_to_a_limit(server: Away) -> None:
    server.error = TransientError
    pauses = []
    for _ in range(7):
        with pytest.raises(ServerAwayError) as raised:
            do()
        pauses.append(round(raised.value.wait_s))
        due()
    assert pauses == [60, 120, 240, 480, 900, 900, 900]
    assert the_breaker().since <= AuditEntry.objects.filter(subject="breaker").earliest("pk").at


def test_a_file_that_fails_on_a_server_that_answers_opens_nothing(server: Away) -> None:
    for error in (TransientError(URL, "i/o error"), NotFoundError(URL, "no such file"), DeniedError(URL, "no")):
        server.fail_next("checksum", error)
        with pytest.raises(type(error)) as raised:
            do()
        assert not isinstance(raised.value, ServerAwayError)
    assert not Breaker.objects.exists()


def test_a_server_that_is_away_is_listed_with_the_breakers_and_holds_no_jobs(server: Away) -> None:
    submit()
    server.error = TransientError
    with pytest.raises(ServerAwayError) as raised:
        do()
    (listed,) = list_sites().breakers
    assert (listed.rule, listed.scope, listed.state, listed.why) == (
        "storage server",
        "memory",
        "open",
        "connection refused",
    )
    assert 0 < listed.since <= to_seconds(now()) < listed.due == to_seconds(raised.value.until)
    watch_breakers()
    assert the_breaker().state == "open", "the breakers of jobs have their own rules"
    assert lease() is not None


def test_a_person_closes_the_breaker_of_a_server_or_keeps_it_open(server: Away) -> None:
    server.error = TransientError
    with pytest.raises(ServerAwayError):
        do()
    server.error = None
    pk = the_breaker().pk
    assert transact(lambda: move_breaker(pk, "close", WHY)) == [pk]
    do()
    since = now()
    assert transact(lambda: move_breaker(pk, "open", WHY)) == [pk]
    assert the_breaker().since >= since
    calls = len(server.calls)
    with pytest.raises(ServerAwayError, match="I have looked at it"):
        do()
    assert len(server.calls) == calls


def test_one_cycle_tries_a_server_and_another_does_not_wait_for_it(
    server: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.error = TransientError
    with pytest.raises(ServerAwayError):
        do()
    server.error = None
    due()
    refused: list[ServerAwayError] = []

    def another_cycle() -> None:
        with pytest.raises(ServerAwayError) as raised:
            do()
        refused.append(raised.value)

    other, stat = Meanwhile(another_cycle), server.stat

    def slow_stat(url: str) -> FileStat:
        other.begin()
        return stat(url)

    monkeypatch.setattr(server, "stat", slow_stat)
    assert do() == "0400019b"
    other.end()
    assert len(refused) == 1
    assert the_breaker().state == "closed"


def test_a_cycle_that_died_while_it_tried_a_server_keeps_nobody_away(server: Away) -> None:
    server.error = TransientError
    with pytest.raises(ServerAwayError):
        do()
    transact(lambda: breakers._begin_probe(the_breaker(), the_breaker().due))
    assert the_breaker().state == "probing"
    server.error = None
    with pytest.raises(ServerAwayError):
        do()
    due()
    assert do() == "0400019b"
    assert the_breaker().state == "closed"
    assert gaps() == []


def test_two_cycles_that_find_a_server_away_open_one_breaker_once(server: Away) -> None:
    server.error = TransientError
    both, failed = threading.Barrier(2), []
    server.stat = lambda url: _together(both, url)  # type: ignore[method-assign]

    def a_cycle() -> None:
        try:
            do()
        except ServerAwayError as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=a_cycle) for _ in range(2)]
    _run(threads)
    assert len(failed) == 2
    assert (the_breaker().state, the_breaker().trips) == ("open", 1)
    assert events("breaker", the_breaker().pk) == [("closed", "open")]


def _together(both: threading.Barrier, url: str) -> FileStat:
    both.wait(60)
    raise TransientError(url, "connection refused")


def _run(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
