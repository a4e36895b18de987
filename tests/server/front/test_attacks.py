"""Attacks on a real server: whatever strangers send, others are answered."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
import requests

from fixtures.servers.postgres import serving_postgres
from pilotext.server.api import auth
from pilotext.server.api.guard import UrlGuard
from pilotext.server.production.refusal import RefusalError
from tests.support.pilotext_server import COMMAND, ProductionServer, production_server

ANSWERED_WITHIN_S = 60.0
THREADS = 64
MEGA = 1 << 20

_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionServer]:
    """A server that believes its neighbours, so that each test can come from an address of its own."""
    with production_server(tmp_path_factory.mktemp("attacked"), PILOTEXT_TRUSTED_PROXIES="127.0.0.1") as server:
        server.token("agent")
        server.token("manager")
        yield server


def head(method: str, path: str, address: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", f"X-Forwarded-For: {address}", *lines, "", "")).encode()


def sent(server: ProductionServer, data: bytes, within: ExitStack) -> socket.socket:
    connection = within.enter_context(socket.create_connection(("127.0.0.1", server.port), ANSWERED_WITHIN_S))
    connection.sendall(data)
    return connection


def status(connection: socket.socket) -> int:
    """The status of the answer on a connection; 0 if it is closed without one."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", connection.recv(4096))
    return int(found[1]) if found else 0


def ask(server: ProductionServer, method: str, path: str, address: str, body: bytes = b"", **headers: str) -> int:
    told = {"X-Forwarded-For": address, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return requests.request(
        method, server.url + path, data=body or None, headers=told, timeout=ANSWERED_WITHIN_S
    ).status_code


def works(server: ProductionServer) -> None:
    """Whether others are served: health, a request that needs the database, and one that writes to it."""
    assert requests.get(f"{server.url}/health", timeout=ANSWERED_WITHIN_S).json()["status"] == "ok"
    assert requests.get(f"{server.url}/metrics", timeout=ANSWERED_WITHIN_S).status_code == 200
    token = {"Authorization": f"Bearer {server.token('manager')}"}
    answer = requests.get(f"{server.url}/api/v1/tasks", headers=token, timeout=ANSWERED_WITHIN_S)
    assert answer.status_code == 200, answer.text


def test_bodies_that_never_come_stop_nobody(server: ProductionServer) -> None:
    announced = "Content-Length: 9"
    good = f"Authorization: Bearer {server.token('manager')}"
    with ExitStack() as stack:
        for number in range(THREADS + 16):
            forged = f"Authorization: Bearer made-up-{number}"
            address = f"203.0.113.{number}"
            sent(server, head("POST", "/api/v1/attempts/1/report", address, forged, announced), stack)
            sent(server, head("POST", "/api/v1/jobs/1/move", address, good, announced), stack)
            sent(server, head("POST", "/api/v1/jobs/move", address, good, "Transfer-Encoding: chunked"), stack)
            sent(server, b"POST /api/v1/attempts/1/report HTTP/1.1\r\nHos", stack)
        last = sent(server, head("POST", "/api/v1/jobs/1/move", "203.0.113.1", good, announced), stack)
        works(server)
        assert status(last) == 408, "it is not waited for for ever"


def test_a_body_that_comes_slowly_but_whole_is_taken(server: ProductionServer) -> None:
    body = json.dumps({"name": "slow", "site": "NOWHERE"}).encode()
    good = f"Authorization: Bearer {server.token('agent')}"
    with ExitStack() as stack:
        slow = sent(server, head("POST", "/api/v1/agents", "203.0.114.1", good, f"Content-Length: {len(body)}"), stack)
        for byte in body[:-1]:
            slow.sendall(bytes([byte]))
        works(server)
        slow.sendall(body[-1:])
        assert status(slow) == 404, "there is no such site"


def test_cookies_in_headers_of_their_own_are_all_read(server: ProductionServer) -> None:
    """A proxy of HTTP/2 may send each cookie in a header of its own."""
    page = requests.get(f"{server.url}/login", timeout=ANSWERED_WITHIN_S)
    form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert form is not None
    body = f"csrfmiddlewaretoken={form[1]}&username=nobody&password=wrong".encode()
    same = (
        "X-Forwarded-For: 203.0.115.1",
        f"Host: 127.0.0.1:{server.port}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    )
    ((name, value),) = page.cookies.items()
    found = []
    with ExitStack() as stack:
        for cookies in ((f"Cookie: first=1; {name}={value}",), ("Cookie: first=1", f"Cookie: {name}={value}"), ()):
            asked = "\r\n".join(("POST /login HTTP/1.1", *same, *cookies, "", "")).encode()
            found.append(status(sent(server, asked + body, stack)))
    together, apart, none = found
    assert together == apart
    assert apart != none == 403


def memory_of(server: ProductionServer) -> int:
    roots = [psutil.Process(process.pid) for process in server.processes]
    return sum(each.memory_info().rss for root in roots for each in (root, *root.children(recursive=True)))


def test_megabytes_of_brackets_are_neither_read_nor_decoded_for_a_stranger(server: ProductionServer) -> None:
    body = b"[" + b"[]," * (5 * MEGA) + b"[]]"
    before = memory_of(server)
    told = []
    with ExitStack() as stack:
        for number in range(8):
            forged = f"Authorization: Bearer made-up-{number}"
            length = f"Content-Length: {len(body)}"
            asked = head("POST", "/api/v1/attempts/1/report", "203.0.115.1", forged, length, "Expect: 100-continue")
            told.append(status(sent(server, asked, stack)))
        assert told == [403] * 8, "refused before anything is sent"
        assert memory_of(server) - before < 64 * MEGA
    works(server)


def test_brackets_of_somebody_who_may_send_them_stay_small(server: ProductionServer) -> None:
    before = memory_of(server)
    body = b'{"to": ' + b"[" + b"[]," * 20_000 + b"[]]}"
    good = f"Bearer {server.token('manager')}"
    assert ask(server, "POST", "/api/v1/jobs/1/move", "203.0.115.2", body, Authorization=good) == 422
    deep = b"[" * 30_000
    assert ask(server, "POST", "/api/v1/jobs/1/move", "203.0.115.2", deep, Authorization=good) == 422
    assert memory_of(server) - before < 64 * MEGA
    works(server)


@pytest.mark.parametrize("body", [b"{}", b"no JSON", b"[" * 1000])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/attempts/1/report",
        "/api/v1/attempts/1/heartbeat",
        "/api/v1/tasks",
        "/api/v1/pilot/acquire_jobs",
        "/server/panda/getJob",
    ],
)
def test_every_request_that_proves_nothing_is_charged(server: ProductionServer, path: str, body: bytes) -> None:
    """A token that the server remembers as good is served from the charged address all the same."""
    number = next(_addresses)
    address, other, third = (f"198.51.{net}.{number}" for net in (100, 101, 102))
    good = f"Bearer {server.token('agent')}"
    assert ask(server, "POST", "/api/v1/agents", third, b"{}", Authorization=good) == 422
    told = [ask(server, "POST", path, address, body, Authorization=f"Bearer guess-{number}") for number in range(25)]
    assert told[0] in (401, 403)
    assert told[-1] == 429
    without = [ask(server, "POST", path, other, body) for _ in range(25)]
    assert (without[0], without[-1]) == (401, 429)
    assert ask(server, "POST", "/api/v1/agents", address, b"{}", Authorization=good) == 422


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/cache/schedconfig.json",
        "/trf/pilotext-trf",
        "/server/panda/isAlive",
        "/api/v1/system/is_alive",
        "/api/v1/openapi.json",
        "/x/",
    ],
)
def test_addresses_without_a_token_have_a_limit(path: str) -> None:
    guard = UrlGuard()
    auth.forget()
    policy = guard.policy_of("GET", path)
    with pytest.raises(RefusalError, match="requests a second"):
        for _ in range(int(auth.ANYONE.burst) * 100):
            guard.screen(policy, "", "192.0.2.1")
    assert guard.screen(policy, "", "192.0.2.2") is False, "others are served"
    auth.forget()


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "BREW"])
def test_methods_that_nothing_has_are_refused(server: ProductionServer, method: str) -> None:
    path = "x:443" if method == "CONNECT" else "/api/v1/tasks"
    with ExitStack() as stack:
        assert status(sent(server, head(method, path, "203.0.116.1"), stack)) in (400, 405)
    works(server)


def test_a_head_has_no_body_and_changes_nothing(server: ProductionServer) -> None:
    with ExitStack() as stack:
        answer = sent(server, head("HEAD", "/metrics", "203.0.116.2", "Connection: close"), stack)
        said = b"".join(iter(lambda: answer.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"\r\n\r\n")
    assert ask(server, "HEAD", "/api/v1/tasks", "203.0.116.2") == 405


def test_addresses_and_queries_have_a_size(server: ProductionServer) -> None:
    good = f"Bearer {server.token('manager')}"
    for path in ("/api/v1/jobs?code=" + "x" * 20_000, "/" + "x" * 3000, "/metrics?" + "a=1&" * 10_000):
        assert ask(server, "GET", path, "203.0.117.1", Authorization=good) == 413
    many = "/api/v1/jobs?" + "&".join(f"a{number}=1" for number in range(200))
    assert ask(server, "GET", many, "203.0.117.1", Authorization=good) == 422
    for number in ("\N{ARABIC-INDIC DIGIT THREE}", "-1", "1e3", "0x1", "9" * 30, "%00", "1%0d%0aX: y"):
        assert ask(server, "GET", f"/api/v1/jobs/{number}", "203.0.117.1", Authorization=good) in (404, 422), number
    works(server)


def test_a_chunked_body_is_bounded_too(server: ProductionServer) -> None:
    good = f"Bearer {server.token('manager')}"
    told = {"Authorization": good, "X-Forwarded-For": "203.0.118.1"}

    def parts() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 40_000

    url = f"{server.url}/api/v1/jobs/1/move"
    answer = requests.post(url, data=parts(), headers=told, timeout=ANSWERED_WITHIN_S)
    assert answer.status_code == 413
    works(server)


@pytest.mark.parametrize("path", ["/server/panda/updateJob", "/api/v1/pilot/update_job"])
def test_a_gzip_bomb_of_a_pilot_is_refused(server: ProductionServer, path: str) -> None:
    bomb = gzip.compress(b"0" * (256 * MEGA), 1)[: 2 * MEGA]
    before = memory_of(server)
    good = f"Bearer {server.token('agent')}"
    told = ask(server, "POST", path, "203.0.119.1", bomb, Authorization=good)
    assert told == 413
    assert memory_of(server) - before < 64 * MEGA


def test_health_says_within_a_bound_that_the_database_is_held(tmp_path: Path) -> None:
    with production_server(tmp_path) as server:
        path = server.database.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            told = set()
            while "database busy" not in told:  # what was seen a moment before may still be told
                answer = requests.get(f"{server.url}/health", timeout=ANSWERED_WITHIN_S)
                told.add(answer.text.partition("database busy")[1])
            assert answer.status_code == 503
            holder.execute("ROLLBACK")
        server.wait_until_ready()
        for name in (path, f"{path}-wal", f"{path}-shm"):
            assert Path(name).stat().st_mode & 0o777 == 0o600, name


def test_two_web_processes_are_refused_connections_that_there_are_not(tmp_path: Path) -> None:
    with serving_postgres(options=["max_connections=20"]) as database:
        server = ProductionServer(tmp_path, environment={"DATABASE_URL": database.url()})
        words = [*COMMAND, "server", "web", "--threads", "50", "--listen", f"127.0.0.1:{server.port}"]
        told = subprocess.run(
            words, env=server.env, capture_output=True, text=True, timeout=ANSWERED_WITHIN_S, check=False
        )
        assert told.returncode == 64
        assert "--threads" in told.stderr
        assert "max_connections" in told.stderr
