"""The server as a process of its own, reached by those who should and by those who should not."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

from fixtures.servers.ports import free_port
from tests.support.pilotext_server import COMMAND, ProductionServer, production_server

BAD_LOGINS = 10_000
GUESSERS = 2
PATIENCE = 10.0
"""Times the quiet median; the guessers share the cores with the server and with the one who is served."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    with production_server(tmp_path) as running:
        yield running


def session_of(token: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def ask(session: requests.Session, server: ProductionServer) -> float:
    began = time.perf_counter()
    assert session.get(f"{server.url}/api/v1/tasks", timeout=60).status_code == 200
    return time.perf_counter() - began


def test_ten_thousand_bad_logins_do_not_slow_the_service_for_others(server: ProductionServer) -> None:
    eva = session_of(server.token("viewer"))
    quiet = statistics.median(ask(eva, server) for _ in range(100))
    waits = []
    enough = threading.Event()
    with ThreadPoolExecutor(GUESSERS) as pool, ExitStack() as stack:
        stack.callback(enough.set)
        guessing = [pool.submit(guess, server, BAD_LOGINS // GUESSERS, enough) for _ in range(GUESSERS)]
        while not all(one.done() for one in guessing):
            waits.append(ask(eva, server))
            time.sleep(0.01)
        told = [status for one in guessing for status in one.result()]
    assert len(told) == BAD_LOGINS
    assert set(told) == {401, 429}
    assert told.count(401) < BAD_LOGINS / 20, "nearly all are refused without a look into the database"
    slowed = statistics.median(waits) / quiet
    print(
        f"{BAD_LOGINS} bad logins, {told.count(401)} looked at; median {quiet * 1e3:.1f} ms, slowed {slowed:.1f} times"
    )
    assert slowed < PATIENCE


def guess(server: ProductionServer, number: int, enough: threading.Event) -> list[int]:
    """Guess tokens over one connection; http.client takes a fifth of the time of requests for it."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    told = []
    for guessed in range(number):
        if enough.is_set():
            break
        connection.request("GET", "/api/v1/tasks", headers={"Authorization": f"Bearer guess-{guessed}"})
        answer = connection.getresponse()
        answer.read()
        told.append(answer.status)
    connection.close()
    return told


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    chain, key = tmp_path / "server.pem", tmp_path / "server.key"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    uses = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]  # Python 3.13 asks for it
    names = [*uses, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(["openssl", "req", *words, *names], capture_output=True, check=True)
    return chain, key


def test_with_a_certificate_the_server_speaks_https_and_nothing_else(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    chain, key = certificate
    server = ProductionServer(tmp_path, port=free_port())
    env = {name: value for name, value in server.env.items() if name != "PILOTEXT_PUBLIC_URL"}
    words = ["server", "--listen", f"127.0.0.1:{server.port}", "--tls-certificate", str(chain), "--tls-key", str(key)]
    with (tmp_path / "all.log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, *words], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    server.processes.append(process)
    url = f"https://127.0.0.1:{server.port}/health"
    try:
        end = time.monotonic() + 60
        while (status := health(url, chain)) is None:
            assert time.monotonic() < end, server.log()
            time.sleep(0.1)
        assert status == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=30)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url.replace("https:", "http:"), timeout=30)
        asked = [*COMMAND, "tasks", "--server", url.removesuffix("/health")]
        mine = {**env, "PILOTEXT_TOKEN": server.token("viewer")}
        for authority, status, told in ((chain, 0, ""), (None, 70, "SSL_CERT_FILE"), (tmp_path / "none", 70, "none")):
            known = {"SSL_CERT_FILE": str(authority)} if authority else {}
            done = subprocess.run(asked, env=mine | known, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, told in done.stderr) == (status, True), done.stderr
    finally:
        server.stop()


def health(url: str, chain: Path) -> int | None:
    try:
        return requests.get(url, verify=str(chain), timeout=30).status_code
    except requests.ConnectionError:
        return None


def test_a_certificate_without_its_key_is_told_before_anything_starts(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'none.sqlite3'}"}
    words = [*COMMAND, "server", "--tls-certificate", str(certificate[0])]
    ended = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 64
    assert "--tls-key" in ended.stderr


def test_users_and_tokens_are_made_and_ended_at_the_console(server: ProductionServer) -> None:
    def console(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "server", *words]
        return subprocess.run(
            command, env=server.env, input=text, capture_output=True, text=True, timeout=60, check=False
        )

    weak = console("user", "--user", "eva", "--role", "expert", "--password-stdin", text="eva\n")
    assert weak.returncode == 64
    assert "password" in weak.stderr
    made = console("user", "--user", "eva", "--role", "expert", "--password-stdin", text="a long enough sentence\n")
    assert (made.returncode, made.stdout) == (0, "")
    token = console("token", "--user", "eva", "--role", "manager", "--label", "eva").stdout.strip()
    session = session_of(token)
    ask(session, server)
    assert session.get(f"{server.url}/api/v1/tokens", timeout=60).status_code == 403, "she is an expert, not a manager"
    assert console("revoke", "--label", "eva", "--why", "it was lost").stdout == "tokens revoked: 1\n"
    end = time.monotonic() + 60
    while session.get(f"{server.url}/api/v1/tasks", timeout=60).status_code != 401:
        assert time.monotonic() < end, "a revoked token still works"
        time.sleep(0.2)
    assert "long enough" not in server.log()
    assert token not in server.log()
