"""An agent whose jobs take a moment: for tests that kill it. Its client and its spool are those of the real one.

    python -m tests.support.quick_agent URL TOKEN SITE NAME FOLDER

Below FOLDER, which all agents share, it holds a lock on `running/JOB` while it runs a job, writes to `twice` when
somebody else has that lock, and to `acknowledged` what the server has said to its reports.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pilotext.agent.sealing import Seal
from pilotext.agent.spool import AgentSpool
from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import Heartbeat, LeasedJob, ReportAnswer
from pilotext.model.report import Report
from tests.support.success import success_of


class Telling(Client):
    """Writes down every report that the server took."""

    folder = Path()

    def report(self, attempt: int, token: str, report: Report) -> ReportAnswer:
        answer = super().report(attempt, token, report)
        append(self.folder / "acknowledged", f"{report.job.job} {attempt} {answer.accepted}")
        return answer


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def main(words: Sequence[str]) -> None:
    url, token, site, name, shared = words
    folder = Path(shared)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = Telling(url, token)
    client.folder = folder
    spool = AgentSpool(folder / name / "spool", Seal(token))
    (folder / "running").mkdir(exist_ok=True)
    while not stop.is_set():
        try:
            agent = client.hello(AgentRegistration(name, site)).agent
            while not stop.is_set():
                spool.deliver(client)
                lease = asked_for(client, agent, name, stop)
                if lease is None:
                    stop.wait(0.2)
                else:
                    work(client, spool, lease, folder)
        except ServerError:
            stop.wait(0.1)


def asked_for(client: Client, agent: int, name: str, stop: threading.Event) -> LeasedJob | None:
    """Asks until there is an answer: what was given with one that was lost is given again."""
    key, again = secrets.token_hex(8), False
    while not stop.is_set():
        try:
            return client.job(agent, name, key, again=again).lease
        except ServerError as error:
            assert error.worth_another_try, error
            again = True
            stop.wait(0.1)
    return None


def work(client: Client, spool: AgentSpool, lease: LeasedJob, folder: Path) -> None:
    assert lease.job.job is not None
    with (folder / "running" / str(lease.job.job)).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            append(folder / "twice", f"{lease.job.job} {lease.attempt} {os.getpid()}")
        for _ in range(3):
            time.sleep(random.uniform(0.0, 0.05))
            try:
                client.heartbeat(lease.attempt, lease.token, Heartbeat("payload"))
            except ServerError as error:
                assert error.worth_another_try, error  # the job goes on while its lease may hold
        spool.keep(lease.attempt, lease.token, success_of(lease.job))
    spool.deliver(client)


if __name__ == "__main__":
    main(sys.argv[1:])
