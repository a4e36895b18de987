"""The question of a wrapper to whoever reads its reports: answered, not answered, and answered too late."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from pilotext.worker.report_channel import ReportChannel
from pilotext.worker.stop_signals import ToldToStop
from tests.support.reports import make_report

WITHIN_S = 60.0
SHORT_S = 0.3


@pytest.fixture
def ends() -> Iterator[tuple[ReportChannel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = ReportChannel(theirs.detach())
    with ours:
        yield channel, ours
    if channel._socket is not None:
        channel._socket.close()


def answering(reader: socket.socket, *answers: dict[str, object]) -> Callable[[], None]:
    """Answer the question that comes with all of these; call the result when it was asked."""

    def answer() -> None:
        reader.recv(1 << 16)
        reader.sendall(b"".join(json.dumps(each).encode() + b"\n" for each in answers))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread.join


@pytest.mark.parametrize("word", ["yes", "no", "unknown"])
def test_the_answer_of_the_reader_is_returned(ends: tuple[ReportChannel, socket.socket], word: str) -> None:
    channel, reader = ends
    end = answering(reader, {"word": word, "why": "it was cancelled", "number": 1})
    answer = channel.ask(WITHIN_S, lambda: None)
    end()
    assert (answer.word, answer.why) == (word, "it was cancelled")


def test_an_answer_to_an_earlier_question_is_not_taken_for_one_to_this(
    ends: tuple[ReportChannel, socket.socket],
) -> None:
    channel, reader = ends
    assert channel.ask(SHORT_S, lambda: None).word == "unknown"
    end = answering(reader, {"word": "yes", "number": 1}, {"new": "word"}, {"word": "no", "number": 2})
    assert channel.ask(WITHIN_S, lambda: None).word == "no"
    end()


def test_a_reader_that_never_answers_is_not_waited_for_long(ends: tuple[ReportChannel, socket.socket]) -> None:
    channel, reader = ends
    ticks: list[int] = []
    assert channel.ask(SHORT_S, lambda: ticks.append(1)).word == "unknown"
    assert ticks
    assert json.loads(reader.recv(1 << 16)) == {"may_publish": 1}


def test_an_order_to_stop_ends_the_wait(ends: tuple[ReportChannel, socket.socket]) -> None:
    def told() -> None:
        raise ToldToStop("SIGTERM")

    with pytest.raises(ToldToStop):
        ends[0].ask(WITHIN_S, told)


def test_a_reader_that_answers_nothing_any_more_still_gets_reports(ends: tuple[ReportChannel, socket.socket]) -> None:
    channel, reader = ends
    reader.shutdown(socket.SHUT_WR)
    assert channel.ask(WITHIN_S, lambda: None).word == "unknown"
    channel.send(make_report())
    assert len(reader.recv(1 << 20).splitlines()) == 2


def test_a_reader_that_has_gone_is_not_waited_for(ends: tuple[ReportChannel, socket.socket]) -> None:
    channel, reader = ends
    reader.close()
    assert channel.ask(WITHIN_S, lambda: None).word == "unknown"
