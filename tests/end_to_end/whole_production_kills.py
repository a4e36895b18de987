"""What can be killed of a whole production: each of these is SIGKILL, or the like for connections."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from tests.end_to_end.whole_production import GONE_WITHIN_S, Production
from tests.support.processes import children_of, command_of

from django.db import connection  # isort: skip  needs the boot of tests.server.conftest


@dataclass
class Killer:
    """Kills one part after the other, in an order of chance, and remembers what."""

    production: Production
    killed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kinds: list[Callable[[], None]] = [
            *(self.web, self.web_worker, self.cycle, self.whole_server, self.connections, self.database),
            *(self.agent, self.agent, self.pilots),
        ]
        random.shuffle(self._kinds)

    def kill(self) -> None:
        """The next of all kinds."""
        self._kill(self._kinds[len(self.killed) % len(self._kinds)])

    def kill_server(self) -> None:
        """Something of the server: nobody else is at work any more."""
        self._kill(random.choice((self.cycle, self.cycle, self.whole_server, self.connections, self.database)))

    def _kill(self, kind: Callable[[], None]) -> None:
        self.killed.append(kind.__name__)
        kind()
        self.production.server.wait_until_ready()

    def web(self) -> None:
        for process in self._parts("web"):
            process.kill()

    def web_worker(self) -> None:
        """The process behind the one that was started: it has the connections to the database."""
        for process in self._parts("web"):
            for worker in children_of(process):
                worker.kill()

    def cycle(self) -> None:
        for process in self._parts("cycle"):
            self._end(process, process.kill)
        self.production.forget_claims()

    def whole_server(self) -> None:
        server = self.production.server
        whole = psutil.Process(server.processes[-1].pid)
        self._end(whole, server.processes[-1].kill)
        server.processes.pop().wait()
        self.production.forget_claims()
        server.start()

    def connections(self) -> None:
        """PostgreSQL ends all of its connections; a file cannot do that, and is locked by somebody else for a while."""
        if self.production.postgres is not None:
            with connection.cursor() as cursor:
                others = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({others}) AS others")
        else:
            url = self.production.server.env["DATABASE_URL"]
            other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
            other.execute("BEGIN IMMEDIATE")
            time.sleep(1.0)
            other.rollback()
            other.close()

    def database(self) -> None:
        """The server of the database; a file has none."""
        if self.production.postgres is None:
            self.connections()
            return
        self.production.postgres.kill()
        self.production.postgres.start()
        connection.close()

    def agent(self) -> None:
        self.production.kill_agent(random.choice(sorted(self.production.agents)))

    def pilots(self) -> None:
        self.production.kill_pilots()

    def _parts(self, part: str) -> list[psutil.Process]:
        whole = psutil.Process(self.production.server.processes[-1].pid)
        return [process for process in whole.children() if part in command_of(process)]

    @staticmethod
    def _end(process: psutil.Process, kill: Callable[[], None]) -> None:
        """Kill it, and wait until what it had started has ended too."""
        below = children_of(process, recursive=True)
        kill()
        _, alive = psutil.wait_procs(below, GONE_WITHIN_S)
        assert not alive, alive
