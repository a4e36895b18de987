"""The way of a report: into the spool, to its server, and what happens to it when the server is not there."""

from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from pilotext.api import flush as flushes
from pilotext.api import spool as spools
from pilotext.api.flush import Flushed, flush
from pilotext.api.spool import Spool
from pilotext.model.job import ReportTarget
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import no_tick
from pilotext.worker import delivery as deliveries
from pilotext.worker.delivery import Delivery, Patience, by_http
from pilotext.worker.stop_signals import StopSwitch
from tests.support.report_server import dead_url, mute, raw_server, report_server
from tests.support.reports import make_report

QUICK = Patience(answer_s=0.5, within_s=5, policy=Policy(tries=2, first_wait_s=0.01))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def make_delivery(spool: Spool, url: str, token: str = "of-this-attempt") -> Delivery:
    return Delivery(ReportTarget(url=url, token=token), {"PILOTEXT_SPOOL": str(spool.folder)})


def leave(spool: Spool, url: str, token: str = "of-this-attempt") -> None:
    """Leave a report in the spool, as a job does that was killed before it could send it."""
    spool.keep(deliveries._spooled(make_report(), ReportTarget(url=url, token=token), time.time())).release()


def flushed(spool: Spool, within_s: float = 30.0) -> Flushed:
    return flush(spool, by_http(QUICK, no_tick), within_s=within_s)


def test_a_report_that_is_taken_leaves_nothing_behind(spool: Spool) -> None:
    with report_server() as server:
        assert make_delivery(spool, server.url()).send(make_report(), StopSwitch(), QUICK) == ""
    (request,) = server.requests
    assert from_json(request.body, Report) == make_report()
    assert spool.waiting() == []


def test_a_report_waits_in_the_spool_from_the_moment_it_is_known(spool: Spool) -> None:
    delivery = make_delivery(spool, dead_url())
    delivery.keep(make_report())
    assert len(spool.waiting()) == 1
    assert flushed(spool).busy == 1, "nobody else sends it while the job is there"
    delivery.send(make_report(), StopSwitch(), QUICK)
    assert flushed(spool).busy == 0


@pytest.mark.fault("report", "server down, back for the next flush")
def test_a_report_whose_server_is_down_is_kept_and_sent_later(spool: Spool) -> None:
    with report_server() as server:
        pass
    problem = make_delivery(spool, server.url()).send(make_report(), StopSwitch(), QUICK)
    assert problem.endswith(f"it is kept in {spool.folder} and sent later")
    assert "of-this-attempt" not in problem
    with report_server(port=server.port) as back:
        assert flushed(spool).sent == ("test-1-1",)
    (request,) = back.requests
    assert (request.authorization, from_json(request.body, Report)) == ("Bearer of-this-attempt", make_report())
    assert spool.waiting() == []


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_report_that_is_refused_is_set_aside_and_not_sent_again(spool: Spool, status: int) -> None:
    with report_server(status) as server:
        problem = make_delivery(spool, server.url()).send(make_report(), StopSwitch(), QUICK)
        assert flushed(spool) == Flushed()
    assert problem.endswith(f"the server answers with status {status}; it is set aside in {spool.aside}")
    assert len(server.requests) == 1


@pytest.mark.fault("report", "told to stop while the server is mute")
def test_an_order_to_stop_while_sending_keeps_the_report(spool: Spool) -> None:
    switch = StopSwitch()
    with raw_server(mute) as url:
        timer = threading.Timer(0.3, lambda: setattr(switch, "received", "SIGTERM"))
        timer.start()
        problem = make_delivery(spool, url).send(make_report(), switch, Patience(answer_s=100, within_s=100))
        timer.join()
    assert "told to stop by SIGTERM" in problem
    assert len(spool.waiting()) == 1


@pytest.mark.fault("report", "told to stop before sending")
def test_a_job_that_was_told_to_stop_sends_its_report_once(spool: Spool) -> None:
    switch = StopSwitch()
    switch.received = "SIGTERM"
    with report_server() as server:
        delivery = make_delivery(spool, server.url())
        delivery.send_at_once(make_report())
        assert delivery.send(make_report(host="with more in it"), switch) == ""
        (request,) = server.requests
        assert from_json(request.body, Report) == make_report()
    assert spool.waiting() == []


@pytest.mark.fault("report", "told to stop, and the server is mute")
def test_a_job_that_was_told_to_stop_waits_a_second_for_its_server_and_keeps_the_report(spool: Spool) -> None:
    switch = StopSwitch()
    switch.received = "SIGTERM"
    with raw_server(mute) as url:
        delivery = make_delivery(spool, url)
        delivery.send_at_once(make_report())
        problem = delivery.send(make_report(host="with more in it"), switch)
    assert "no answer" in problem
    assert problem.endswith(f"it is kept in {spool.folder} and sent later")
    (path,) = spool.waiting()
    held = spool.take(path)
    assert held is not None
    assert (held.read().tries, held.read().report["host"]) == (1, make_report().host), "what the server may have got"
    held.release()


@pytest.mark.fault("report", "another payload changes a report in the spool")
@pytest.mark.parametrize("change", ["report", "label", "url"])
def test_a_report_that_was_changed_in_the_spool_is_never_sent(spool: Spool, change: str) -> None:
    with report_server() as server:
        leave(spool, server.url())
        (path,) = spool.waiting()
        document = json.loads(path.read_bytes())
        if change == "report":
            document["report"]["verdict"] = {"verdict": "success"}
        elif change == "label":
            document["label"] = "another-1-1"
        else:
            document["target"]["url"] = server.url("/elsewhere")
        path.write_text(json.dumps(document))
        (told,) = flushed(spool).aside
        assert server.requests == []
    assert told.reason == "this report was changed since its job left it."


@pytest.mark.fault("report", "spool unusable")
def test_without_a_spool_the_report_is_sent_all_the_same(spool: Spool) -> None:
    spool.folder.write_text("in the way")
    with report_server() as server:
        assert make_delivery(spool, server.url()).send(make_report(), StopSwitch(), QUICK) == ""
    assert len(server.requests) == 1


@pytest.mark.fault("report", "server down and disk full under the spool")
def test_a_report_stays_in_the_spool_when_the_try_cannot_be_noted_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = make_delivery(spool, dead_url())
    delivery.keep(make_report())

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spools, "_write_locked", full)
    assert delivery.send(make_report(), StopSwitch(), QUICK).endswith("and sent later")
    (path,) = spool.waiting()
    held = spool.take(path)
    assert held is not None
    assert held.read().report["state"] == "failed"
    held.release()


@pytest.mark.fault("report", "server down and spool unusable")
def test_a_report_that_can_neither_be_sent_nor_kept_is_said(spool: Spool) -> None:
    spool.folder.write_text("in the way")
    problem = make_delivery(spool, dead_url()).send(make_report(), StopSwitch(), QUICK)
    assert "it was not kept for later either" in problem
    assert "Not a directory" in problem or "File exists" in problem


def test_a_job_without_a_server_delivers_nothing(spool: Spool) -> None:
    delivery = Delivery(None, {"PILOTEXT_SPOOL": str(spool.folder)})
    delivery.keep(make_report())
    assert delivery.send(make_report(), StopSwitch()) == ""
    assert not spool.folder.exists()


@pytest.mark.fault("report", "broken file in the spool")
def test_broken_files_in_the_spool_are_set_aside_and_do_not_block_the_others(spool: Spool) -> None:
    with report_server() as server:
        leave(spool, server.url())
        (spool.folder / "broken.json").write_bytes(b"\xff{")
        (spool.folder / "a-folder.json").mkdir()
        (spool.folder / "a-link.json").symlink_to("/etc/hostname")
        done = flushed(spool)
    assert done.sent == ("test-1-1",)
    assert [told.name for told in done.aside] == ["broken"]
    assert done.kept == ()
    assert [path.name for path in spool.folder.iterdir()] == ["aside"]


def test_a_silent_server_is_asked_once_in_a_flush_and_others_are_still_served(spool: Spool) -> None:
    dead = dead_url()
    with report_server() as server:
        for number in range(3):
            leave(spool, dead, f"token-{number}")
        leave(spool, server.url())
        done = flushed(spool)
    assert done.sent == ("test-1-1",)
    reasons = sorted(told.reason for told in done.kept)
    assert [reason.startswith("its server was asked already") for reason in reasons] == [True, True, False]


def test_a_server_that_asked_to_wait_is_left_in_peace_until_then(spool: Spool) -> None:
    with report_server(503, 204) as server:
        server.headers["Retry-After"] = "3600"
        leave(spool, server.url())
        assert "503" in flushed(spool).kept[0].reason
        assert flushed(spool).kept[0].reason == "its server asked to wait"
        assert len(server.requests) == 1
        (path,) = spool.waiting()
        held = spool.take(path)
        assert held is not None
        held.replace(replace(held.read(), not_before=0.0))
        held.release()
        assert flushed(spool).sent == ("test-1-1",)


def test_a_report_that_nobody_has_taken_for_weeks_is_set_aside(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(spool, dead_url())
    assert flushed(spool).aside == ()
    monkeypatch.setattr(flushes, "KEEP_FOR_S", 0.0)
    (told,) = flushed(spool).aside
    assert told.reason.startswith("not taken for 0 days: no answer")


def test_a_flush_without_time_leaves_everything_where_it_is(spool: Spool) -> None:
    with report_server() as server:
        leave(spool, server.url())
        assert flushed(spool, within_s=0).kept[0].reason == "the time was over"
    assert len(spool.waiting()) == 1


@pytest.mark.fault("report", "two flushes at once")
def test_flushes_at_the_same_time_never_send_a_report_twice(spool: Spool) -> None:
    with report_server() as server:
        for number in range(20):
            leave(spool, server.url(), f"token-{number}")
        done: list[Flushed] = []
        threads = [threading.Thread(target=lambda: done.append(flushed(spool))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    tokens = [request.authorization for request in server.requests]
    assert sorted(tokens, key=str) == sorted({f"Bearer token-{number}" for number in range(20)})
    assert sum(len(one.sent) for one in done) == 20
