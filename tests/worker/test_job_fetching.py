"""A job from a web server that is busy, gone, slow, too talkative, or right."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pilotext.errors import UsageError
from pilotext.storage.retry import Policy
from pilotext.worker.job_source import fetch

SOON = Policy(tries=3, first_wait_s=0.01)
Script = list[int | bytes | Callable[[http.server.BaseHTTPRequestHandler], None]]


class Server(http.server.BaseHTTPRequestHandler):
    """Answers one request after the other as its script says; the last answer stays."""

    script: Script
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(answer):
            answer(self)
        elif isinstance(answer, int):
            self.send_error(answer)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Tests need no log of it."""


@pytest.fixture
def server() -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """Starts a server with a script; gives its address and the list of what it was asked for."""
    running = []

    def start(*script: int | bytes | Callable[..., None]) -> tuple[str, list[str]]:
        asked: list[str] = []
        kind = type("Scripted", (Server,), {"script": list(script), "asked": asked})
        one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
        one.daemon_threads = True
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        running.append(one)
        return f"http://127.0.0.1:{one.server_port}/jobs/1", asked

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


Start = Callable[..., tuple[str, list[str]]]


def test_the_document_is_fetched_as_it_is(server: Start) -> None:
    url, asked = server(b'{"format": 1}')
    assert fetch(f"{url}?attempt=2", policy=SOON) == b'{"format": 1}'
    assert asked == ["/jobs/1?attempt=2"]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_busy_server_is_asked_again(server: Start, status: int) -> None:
    url, asked = server(status, status, b"{}")
    assert fetch(url, policy=SOON) == b"{}"
    assert len(asked) == 3


def test_a_server_that_stays_busy_is_given_up_after_its_tries(server: Start) -> None:
    url, asked = server(503)
    with pytest.raises(UsageError, match=r"the job cannot be fetched: the server answers with status 503, in 3 tries"):
        fetch(url, policy=SOON)
    assert len(asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_clear_no_is_not_asked_for_again(server: Start, status: int) -> None:
    url, asked = server(status)
    with pytest.raises(UsageError, match=f"status {status}"):
        fetch(url, policy=SOON)
    assert len(asked) == 1


def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"format"')


def test_an_answer_that_was_cut_is_fetched_again(server: Start) -> None:
    url, asked = server(cut, b"{}")
    assert fetch(url, policy=SOON) == b"{}"
    assert len(asked) == 2


def test_an_answer_without_end_is_not_kept_in_memory(server: Start) -> None:
    def talk(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100_000):  # a gigabyte, if somebody listens
            try:
                handler.wfile.write(b" " * 10_000)
            except OSError:
                return

    url, asked = server(talk)
    with pytest.raises(UsageError, match="the answer is larger than 50000 bytes"):
        fetch(url, policy=SOON, max_bytes=50_000)
    assert len(asked) == 1


def test_a_server_that_drips_is_given_up(server: Start) -> None:
    ended = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not ended.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    url, _ = server(drip)
    with pytest.raises(UsageError, match=r"no answer within 0\.5 s"):
        fetch(url, policy=SOON, within_s=0.5)
    ended.set()


def test_a_mute_server_is_asked_again_and_then_given_up(server: Start) -> None:
    url, asked = server(lambda _: time.sleep(1))
    with pytest.raises(UsageError, match="the server does not answer, in 2 tries"):
        fetch(url, policy=Policy(tries=2, first_wait_s=0.01), within_s=0.4)
    assert len(asked) == 2


@pytest.mark.parametrize("url", ["ftp://server/job", "server/job", "http://", "http://[::1/job", "http://a b/"])
def test_what_is_no_web_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="the job cannot be fetched"):
        fetch(url, policy=Policy(tries=2, first_wait_s=1000))


def test_secrets_of_an_address_are_not_told(server: Start) -> None:
    url, _ = server(404)
    with pytest.raises(UsageError) as caught:
        fetch(url.replace("//", "//user:geheim@") + "?token=verysecret", policy=SOON)
    assert "geheim" not in str(caught.value)
    assert "verysecret" not in str(caught.value)
    assert "/jobs/1?..." in str(caught.value)


def test_a_dead_port_says_that_the_server_cannot_be_reached() -> None:
    with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:9/job: .* cannot be reached"):
        fetch("http://127.0.0.1:9/job", policy=SOON)
