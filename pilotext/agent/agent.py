"""An agent of our own: pulls jobs for its slots and runs each by `pilotext run`, in a process and a folder of its own.

Each slot is a thread that waits most of the time: for a job, for its process, for the next heartbeat. A report that
the worker could not deliver is delivered from the spool, also by the next agent in the same folder.
"""

from __future__ import annotations

import random
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from pilotext import __version__
from pilotext.agent.folders import folder_of, remove_abandoned
from pilotext.agent.identity import Identity
from pilotext.agent.kept_outputs import IN_SLOT_S, KeptJobs
from pilotext.agent.runner import Runner
from pilotext.agent.sealing import Seal
from pilotext.agent.spool import AgentSpool
from pilotext.api.client import Client, RequestRefusedError, ServerError
from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration
from pilotext.api.schemas.attempts import LeasedJob
from pilotext.directory_tree import remove_tree
from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.model.report import Report
from pilotext.profile import find_profile, known_experiments
from pilotext.sanitize import one_line

MAX_WAIT_S = 60.0
TOKEN_REFUSED = (401, 403)
"""Statuses of HTTP for a token that was revoked, has expired, or is for something else."""
UNKNOWN_HERE = 404
"""Status of HTTP for an agent whose number the server does not know."""
RESEND_S = 5.0
"""Time between two looks for reports that could not be sent; longer, up to MAX_WAIT_S, while the server takes none."""

_TICK_S = 0.1
_REST_S = 30.0
"""After a job that the agent itself could not run: a node in disorder must not use up one job after the other."""


@dataclass(frozen=True)
class Settings:
    """Settings of an agent, which ends after `max_jobs` jobs, or when `idle_s` seconds went by without one."""

    url: str
    token: str
    site: str
    folder: Path
    name: str = ""
    slots: int = 1
    max_jobs: int | None = None
    idle_s: float | None = None
    stop_within_s: float | None = None
    """After an order to stop, running jobs have so long; None: until they end."""
    until: float | None = None
    """End of the time on this node, in seconds since 1970: no job that may take longer is taken, and the agent drains
    then."""
    keep_after_s: float = IN_SLOT_S
    """A wrapper whose storage is away leaves its outputs to the agent, and its slot to the next job, after this."""
    keep: bool = False
    """Leave the work directories where they are."""
    check_rules: Callable[[str], object] = find_profile
    """Raises UsageError when jobs of an experiment cannot be run on this node; called before each job."""
    verbose: bool = False
    """Print a line for each job that has ended."""


@dataclass
class AgentProcess:
    """Agent of one site; `run` works until it was drained, was idle too long, or had its number of jobs.

    `run` raises UsageError when this node has no profile of the experiment whose jobs it would get, and ServerError
    when the server refuses its token.
    """

    settings: Settings
    draining: threading.Event = field(default_factory=threading.Event)
    jobs: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = 0
        self._drained = False
        """Whether somebody wants the agent to end: outputs that are kept are left to the next one here."""
        self._last_work = time.monotonic()
        self._runners: set[Runner] = set()
        self._seal = Seal(self.settings.token)
        self._spool = AgentSpool(self.settings.folder / "spool", self._seal)
        self._ending = threading.Event()
        self._kept = KeptJobs(self.settings.folder / "kept", self._seal, self._spool, self._ending)
        self._name = self.settings.name
        self._experiment = ""
        self._agent = 0
        """Its number on the server."""
        self._registering = threading.Lock()
        self._refused: ServerError | None = None
        """Set when the token was revoked or has expired."""

    def run(self) -> int:
        """Work until the end; returns the number of jobs done."""
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        identity = None if self.settings.name else Identity(self.settings.folder)
        self._name = identity.name if identity else self.settings.name
        try:
            return self._work_to_the_end()
        finally:
            if identity is not None:
                identity.close()

    def _work_to_the_end(self) -> int:
        if not self.settings.keep:
            remove_abandoned(self.settings.folder)
        client = self._client()
        registered = self._register(client)
        if registered is None:
            return 0
        self._agent, self._experiment = registered.agent, registered.experiment
        try:
            self._check_profile()
        except UsageError:
            self._say(client, "gone")
            raise
        settings = self.settings
        self._print(
            f"agent {self._name} is connected to {settings.url}: site {settings.site} of"
            f" {self._experiment or 'an unknown experiment'}, {counted_words(settings.slots, 'slot')}"
        )
        self._spool.deliver(client)
        names = [f"slot-{number}" for number in range(self.settings.slots)]
        slots = [threading.Thread(target=self._slot, name=name) for name in names]
        resending = threading.Thread(target=self._resend, name="reports")
        self._kept.resume(self._client)
        resending.start()
        for slot in slots:
            slot.start()
        while any(slot.is_alive() for slot in slots) or (self._kept.busy and not self._drained):
            time.sleep(_TICK_S)
            if self._idle_too_long():
                self.draining.set()
            if not self._drained and self._left_s() == 0:
                self._print("the time on this node is over: no more jobs are taken")
                self.drain()
        self._ending.set()
        resending.join()
        self._kept.join()
        self._spool.deliver(client)
        self._say(client, "gone")
        if self._refused is not None:
            raise self._refused
        return self.jobs

    def drain(self) -> None:
        """Take no more jobs; end those that run after `stop_within_s`. May be called from a signal handler."""
        self._drained = True
        self.draining.set()
        if self.settings.stop_within_s is not None:
            timer = threading.Timer(self.settings.stop_within_s, self.stop_jobs)
            timer.daemon = True
            timer.start()

    def stop_jobs(self) -> None:
        """Tell every running job to end now; each still reports."""
        for runner in list(self._runners):
            runner.stop()

    def _client(self) -> Client:
        return Client(self.settings.url, self.settings.token)

    def _check_profile(self) -> None:
        """Raise UsageError when this node cannot run the jobs of its site: each would use up its attempts here."""
        if self._experiment:
            try:
                self.settings.check_rules(self._experiment)
            except UsageError as error:
                where = f"the jobs of site {self.settings.site} cannot be run on this node"
                raise UsageError(f"{where}: {error.message}", advice=error.advice) from None

    def _print(self, text: str) -> None:
        print(f"pilotext: {one_line(text)}", file=sys.stderr, flush=True)

    def _register(self, client: Client) -> AgentRegistered | None:
        """The answer to our registration; a server that is away is waited for. Raises ServerError when it refuses."""
        wait = 1.0
        while not self.draining.is_set():
            try:
                return self._registered(client)
            except ServerError as error:
                if not error.worth_another_try:
                    raise
            self.draining.wait(wait)
            wait = min(wait * 2, MAX_WAIT_S)
        return None

    def _registered(self, client: Client) -> AgentRegistered:
        """Register once, and seal by the key of the site from then on: it outlives the token. Raises ServerError."""
        registered = client.hello(self._hello("active"))
        if (key := client.key_of_site(registered.agent)) is not None:
            self._seal.prefer(key)
        return registered

    def _register_again(self, client: Client, unknown: int) -> None:
        """Register anew with a server that does not know this number any more: its database is one from before."""
        with self._registering:
            if self._agent != unknown:
                return
            try:
                registered = self._register(client)
            except ServerError as error:
                self._print(f"the server does not know this agent any more, and does not register it again: {error}")
                return
            if registered is not None:
                self._agent = registered.agent
                self._print("the server did not know this agent any more; it is registered again")

    def _hello(self, state: str) -> AgentRegistration:
        return AgentRegistration(
            name=self._name,
            site=self.settings.site,
            host=socket.gethostname(),
            slots=self.settings.slots,
            version=__version__,
            state=state,  # type: ignore[arg-type]  # one of its words
            experiments=known_experiments(),
        )

    def _say(self, client: Client, state: str) -> None:
        try:
            client.hello(self._hello(state))
        except ServerError:
            return  # the server will find out by our silence

    def _resend(self) -> None:
        """Send the reports that wait, until the agent ends: the next job of their slot may outlast their leases."""
        client, wait = self._client(), RESEND_S
        while not self._ending.wait(wait * random.uniform(0.5, 1.5)):  # noqa: S311  only spreads the questions
            wait = min(wait * 2, MAX_WAIT_S) if self._spool.deliver(client) else RESEND_S

    def _left_s(self) -> float | None:
        """Return the rest of the time on this node; None: no end is known."""
        return None if self.settings.until is None else max(0.0, self.settings.until - time.time())

    def _end_without_token(self, error: ServerError) -> None:
        """End after the jobs that run, whose own tokens still hold: the agent's is refused."""
        if not self.draining.is_set():
            self._print(f"no more jobs are taken, since the server refuses the token of this agent: {error}")
        self._refused = error
        self.drain()

    def _idle_too_long(self) -> bool:
        limit = self.settings.idle_s
        with self._lock:
            return (
                limit is not None
                and not self._busy
                and not self._kept.busy
                and time.monotonic() - self._last_work > limit
            )

    # ------------------------------------------------------------------------------------------------------ one slot

    def _slot(self) -> None:
        client = self._client()
        wait = 1.0
        key, again = secrets.token_hex(8), False
        while not self.draining.is_set() and self._can_run() and self._may_take():
            asked, agent = time.monotonic(), self._agent
            try:
                answer = client.job(agent, socket.gethostname(), key, again=again, left_s=self._left_s())
                pause = answer.ask_again_s
                wait = 1.0
            except ServerError as error:
                if error.status in TOKEN_REFUSED:
                    self._end_without_token(error)
                elif isinstance(error, RequestRefusedError) and error.status == UNKNOWN_HERE:
                    self._register_again(client, agent)
                answer, pause = None, wait
                wait = min(wait * 2, MAX_WAIT_S)
            if answer and answer.drain:
                self.drain()
            # Without an answer, a job may have been given to us all the same.
            key, again = (key, True) if answer is None else (secrets.token_hex(8), False)
            lease = answer.lease if answer else None
            if lease is not None:
                self._work(client, lease, asked)
                continue
            self._give_back()
            self._spool.deliver(client)
            self.draining.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311  only spreads the questions

    def _can_run(self) -> bool:
        """Whether the profile of the site is still here; without it, the agent ends after the jobs that it has."""
        try:
            self._check_profile()
        except UsageError as error:
            if not self.draining.is_set():
                self._print(f"no more jobs are taken: {error}")
            self.drain()
            return False
        return True

    def _may_take(self) -> bool:
        """Reserve one of the jobs that are left."""
        with self._lock:
            if self.settings.max_jobs is not None and self.jobs >= self.settings.max_jobs:
                return False
            self.jobs += 1
            return True

    def _give_back(self) -> None:
        with self._lock:
            self.jobs -= 1

    def _work(self, client: Client, lease: LeasedJob, asked: float) -> None:
        self._kept.tidy()
        keep = ("--keep-outputs", str(self._kept.folder), "--keep-after", str(self.settings.keep_after_s))
        runner = Runner(lease, folder_of(lease.attempt, self.settings.folder), asked, keep)
        with self._lock:
            self._busy += 1
            self._runners.add(runner)
        try:
            report = self._run(runner, client)
            if self.settings.verbose:
                self._print(_job_line(lease, report))
            kept = not runner.disowned and self._kept.take(lease, report, self._client)
            if not kept and report.kept is not None:  # nobody wants them, or nobody can look after them
                remove_tree(Path(report.kept.folder))
                report = replace(report, kept=None)
            if report.kept is None or report.kept.log_only:
                self._spool.keep(lease.attempt, lease.token, report)
            self._spool.deliver(client)
            if not self.settings.keep and not remove_tree(runner.folder):
                print(f"pilotext: {runner.folder} cannot be removed", file=sys.stderr)
        finally:
            with self._lock:
                self._busy -= 1
                self._runners.discard(runner)
                self._last_work = time.monotonic()

    def _run(self, runner: Runner, client: Client) -> Report:
        """Run a job; a mistake of our own, or a node in disorder, is a failure of the job and not the slot's end."""
        try:
            return runner.run(client)
        except Exception as error:  # noqa: BLE001  the boundary
            print(f"pilotext: attempt {runner.lease.attempt}: {type(error).__name__}: {error}", file=sys.stderr)
            self.draining.wait(_REST_S)
            return runner.failed(f"the agent could not run it: {type(error).__name__}: {error}")


def _job_line(lease: LeasedJob, report: Report) -> str:
    job, verdict = lease.job, report.verdict
    why = (
        (verdict.diag or verdict.code or "") if verdict.verdict != "success" else ""
    )  # the message begins with the code
    return f"job {job.job} of {job.task}, attempt {job.attempt}: {verdict.verdict}{f': {why}' if why else ''}"
