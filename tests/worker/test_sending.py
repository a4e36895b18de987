"""Sending a report: which answers are worth another try, to real servers that behave well and badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.api.flush import Answer
from pilotext.api.http import MAX_RETRY_AFTER_S, retry_after_s
from pilotext.model.job import ReportTarget
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import no_tick
from pilotext.worker.delivery import Patience, send
from pilotext.worker.stop_signals import StopSwitch, ToldToStop
from tests.support import report_server as servers
from tests.support.report_server import authorizations, raw_server, report_server

PATIENT = Patience(answer_s=60, within_s=300, policy=Policy(tries=3, first_wait_s=0.01))
"""For servers that answer: they do, however loaded the machine is."""

QUICK = Patience(answer_s=0.5, within_s=300, policy=Policy(tries=3, first_wait_s=0.01))
"""For servers that never answer."""


def sent(url: str, patience: Patience = PATIENT, tick: Callable[[], None] = no_tick) -> Answer:
    return send(b'{"state": "done"}', ReportTarget(url=url, token="of-this-attempt"), patience, tick)


def test_a_report_is_sent_once_with_its_token() -> None:
    with report_server(201) as server:
        assert sent(server.url()) == Answer("delivered")
    (request,) = server.requests
    assert (request.authorization, request.body) == ("Bearer of-this-attempt", b'{"state": "done"}')


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.fault("report", "server busy, then well")
def test_a_busy_server_is_asked_again(status: int) -> None:
    with report_server(status, status, 204) as server:
        assert sent(server.url()).outcome == "delivered"
    assert len(server.requests) == 3


@pytest.mark.fault("report", "server fails again and again")
def test_a_server_that_stays_busy_is_given_up_after_the_tries() -> None:
    with report_server(500) as server:
        answer = sent(server.url())
    assert (answer.outcome, answer.said) == ("later", "the server answers with status 500")
    assert len(server.requests) == PATIENT.policy.tries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
@pytest.mark.fault("report", "server refuses for good")
def test_a_refusal_is_not_tried_again(status: int) -> None:
    with report_server(status) as server:
        answer = sent(server.url())
    assert (answer.outcome, answer.said) == ("refused", f"the server answers with status {status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.fault("report", "server redirects")
def test_a_redirection_is_not_followed_since_the_token_is_for_one_server(status: int) -> None:
    with report_server() as other, report_server(status) as server:
        server.headers["Location"] = other.url()
        assert sent(server.url()).outcome == "later"
    assert len(server.requests) == 1
    assert other.requests == []


def test_the_server_says_how_long_to_wait_and_is_obeyed_if_there_is_time() -> None:
    with report_server(429, 204) as server:
        server.headers["Retry-After"] = "1"
        ticks: list[int] = []
        assert sent(server.url(), tick=lambda: ticks.append(1)).outcome == "delivered"
        assert len(ticks) > 5, "it ticked through the second"


def test_a_wait_longer_than_the_patience_ends_the_tries_and_is_handed_on() -> None:
    with report_server(503) as server:
        server.headers["Retry-After"] = "3600"
        answer = sent(server.url())
    assert (answer.outcome, answer.wait_s) == ("later", 3600.0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("1" + "0" * 400, MAX_RETRY_AFTER_S),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_a_wait_is_a_number_or_a_date_and_anything_else_is_ignored(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, 1_000_000.0) == seconds


@given(st.text())
def test_whatever_stands_in_retry_after_is_survived(header: str) -> None:
    wait_s = retry_after_s(header, 1_000_000.0)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(servers.mute, marks=pytest.mark.fault("report", "server mute")),
        pytest.param(servers.drip, marks=pytest.mark.fault("report", "server answers a byte at a time")),
        pytest.param(servers.hang_up, marks=pytest.mark.fault("report", "server dies in mid request")),
        pytest.param(servers.babble, marks=pytest.mark.fault("report", "server speaks no HTTP")),
    ],
)
def test_a_server_that_does_not_answer_is_given_up_after_its_tries(
    talk: Callable[[socket.socket, threading.Event], None],
) -> None:
    connections: list[socket.socket] = []

    def counted(connection: socket.socket, ended: threading.Event) -> None:
        connections.append(connection)
        talk(connection, ended)

    with raw_server(counted) as url:
        answer = sent(url, QUICK)
    assert answer.outcome == "later"
    assert "no answer" in answer.said
    assert len(connections) == QUICK.policy.tries


@pytest.mark.fault("report", "server down")
def test_a_dead_server_is_given_up_after_its_tries() -> None:
    assert sent(servers.dead_url()) == Answer("later", "no answer (ConnectionError)", soon=True)


@pytest.mark.fault("report", "server's certificate not trusted")
def test_a_server_that_cannot_be_trusted_gets_neither_report_nor_token(tmp_path: Path) -> None:
    with report_server(tls=True, folder=tmp_path) as server:
        answer = sent(server.url())
    assert (answer.outcome, answer.soon) == ("later", False)
    assert "cannot be trusted" in answer.said
    assert authorizations(server.requests) == set()


def test_an_order_to_stop_ends_the_wait_for_an_answer() -> None:
    switch = StopSwitch()
    with raw_server(servers.mute) as url:
        timer = threading.Timer(0.3, lambda: setattr(switch, "received", "SIGTERM"))
        timer.start()
        with pytest.raises(ToldToStop):
            sent(url, Patience(answer_s=100, within_s=100), switch.tick)
        timer.join()


def test_nothing_of_what_a_server_says_gets_into_the_sentence() -> None:
    with report_server(400) as server:
        server.headers["X-Echo"] = "of-this-attempt"
        assert "of-this-attempt" not in str(sent(server.url()))
