"""The whole production server as processes of its own, on 127.0.0.1 and a database of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import requests
import yaml

from fixtures.demo import processes
from fixtures.servers.ports import free_port
from pilotext.api.client import Client
from tests.support.jobs import CHECKOUT

COMMAND = processes.COMMAND
READY_WITHIN_S = 150.0
ROLES = ("viewer", "expert", "manager", "agent")

_PREPARE = """
import sys
from pilotext.cli.main import main
verbs = [["migrate"], *(["token", "--role", role, "--label", f"test-{role}"] for role in sys.argv[1:])]
sys.exit(any(main(["server", *words]) for words in verbs))
"""


@dataclass
class ProductionServer:
    """`pilotext server`: all of it, or the parts that are named."""

    folder: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    checkout: Path | None = None
    """The copy of pilotext that the server runs, with a profile of its own; everybody else runs the one under test."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'server.sqlite3'}"

    @property
    def env(self) -> dict[str, str]:
        given = {"DATABASE_URL": self.database, "PILOTEXT_PUBLIC_URL": self.url}
        return {**os.environ, **given, **self.environment}

    def start(self, part: str = "all") -> subprocess.Popen[bytes]:
        self._give_database()
        words = [*COMMAND, "server", part, "--listen", f"127.0.0.1:{self.port}"]
        env = self.env if self.checkout is None else {**self.env, "PYTHONPATH": str(self.checkout)}
        with (self.folder / f"{part}.log").open("ab") as log:
            process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def wait_until_ready(self) -> None:
        end = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except (requests.ConnectionError, requests.Timeout):
                pass  # nobody listens yet; or it was accepted, and its process killed or not at work yet
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def token(self, role: str) -> str:
        """A token of this role, the same one each time."""
        self._give_database()
        if role not in self.tokens:
            words = [*COMMAND, "server", "token", "--role", role, "--label", f"test-{role}"]
            made = subprocess.run(words, env=self.env, capture_output=True, text=True, check=True)
            self.tokens[role] = made.stdout.strip()
        return self.tokens[role]

    def _give_database(self) -> None:
        """Copy the prepared database, if this server has one of its own in a file, and does not have it yet."""
        path = Path(self.database.removeprefix("sqlite:///"))
        if path.exists() or self.env["DATABASE_URL"] != self.database:
            return
        prepared, tokens = _prepared_database()
        for file in prepared.parent.iterdir():
            shutil.copy(file, path.with_name(file.name.replace(prepared.name, path.name)))
        self.tokens.update(tokens)

    def client(self, role: str = "manager") -> Client:
        return Client(self.url, self.token(role))

    def command(self, role: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One of the verbs that talk to the server, run to its end."""
        env = {**self.env, "PILOTEXT_SERVER": self.url, "PILOTEXT_TOKEN": self.token(role)}
        return subprocess.run([*COMMAND, *words], env=env, capture_output=True, text=True, timeout=120, check=False)

    def submit(self, task: Mapping[str, object], *options: str) -> str:
        """Submit a task by the command line; returns what that prints."""
        document = self.folder / "task.yaml"
        document.write_text(yaml.safe_dump(dict(task)))
        done = self.command("manager", "submit", str(document), *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def agent(self, *words: str, name: str = "agent", host: str | None = None) -> subprocess.Popen[bytes]:
        """An agent; with `host`, on a machine of that name, as far as it can see."""
        env = {**self.env, "PILOTEXT_SERVER": self.url, "PILOTEXT_TOKEN": self.token("agent")}
        folder = self.folder / name
        command: Sequence[str] = [*COMMAND, "agent", "--name", name, "--workdir", str(folder), *words]
        if host is not None:
            command = [*_alone_on(host), *command]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End everything that this object has started, the last first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def impatient_checkout(folder: Path, wait_s: float) -> Path:
    """Copy pilotext and its rules to `folder`, with profiles that have the second try of a transfer after `wait_s`."""
    for name in ("pilotext", "rules"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "compiled"))
    profile = folder / "rules/compass/experiment.yaml"
    text = profile.read_text()
    assert "transfer_wait_s" not in text
    profile.write_text(text.replace("limits: {", f"limits: {{transfer_wait_s: {wait_s}, "))
    return folder


def _alone_on(host: str) -> list[str]:
    """The words that start a program in the same process, with a host name of its own."""
    mapped = [] if os.getuid() == 0 else ["--map-root-user"]
    return ["unshare", *mapped, "--uts", "/bin/sh", "-c", 'hostname "$0" && exec "$@"', host]


@cache
def _prepared_database() -> tuple[Path, dict[str, str]]:
    """Make a database with all tables and a token of each role once in this process: that takes longer than a copy."""
    folder = Path(tempfile.mkdtemp(prefix="pilotext-prepared-"))
    atexit.register(shutil.rmtree, folder)
    path = folder / "prepared.sqlite3"
    done = subprocess.run(
        [sys.executable, "-P", "-X", "utf8", "-c", _PREPARE, *ROLES],
        env={**os.environ, "DATABASE_URL": f"sqlite:///{path}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return path, dict(zip(ROLES, done.stdout.split(), strict=True))


@contextmanager
def production_server(folder: Path, **environment: str) -> Iterator[ProductionServer]:
    """A whole server that answers."""
    with serving(ProductionServer(folder, environment=environment)) as server:
        yield server


@contextmanager
def serving(server: ProductionServer) -> Iterator[ProductionServer]:
    """The same for one that was described before."""
    try:
        server.start()
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
