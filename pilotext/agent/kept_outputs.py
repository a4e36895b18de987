"""Outputs and logs that an agent keeps for their storage to come back: they are published later, outputs under a lease.

No slot is taken meanwhile. What is needed stands in a signed file beside the agent's spool, so that the next agent in
the same folder goes on with it. Nothing is published unless the lease was renewed just before: when it is over, the job
may be somebody else's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pilotext.agent.folders import held, open_own
from pilotext.agent.runner import Runner
from pilotext.agent.sealing import Seal, put_aside, read_own, write_whole
from pilotext.agent.spool import AgentSpool
from pilotext.agent.wrapper_process import WrapperProcess
from pilotext.api.client import Client
from pilotext.api.schemas.attempts import OUTPUTS_KEPT, LeasedJob
from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError
from pilotext.model import Record
from pilotext.model.codes import Exit
from pilotext.model.permission import Permission
from pilotext.model.report import AGENT_RECORDS, Kept, Report
from pilotext.serialization.json import from_json

IN_SLOT_S = 600.0
"""The time that a wrapper tries by itself before it leaves the outputs to the agent and its slot to the next job."""

FIRST_WAIT_S = 10.0
MAX_WAIT_S = 900.0
MAX_UNNAMED = 50
"""Folders that no record names and that may stay: an agent with another token may have left them."""

UNNAMED_AFTER_S = 3600.0
"""Age of a folder that no record names, after which no wrapper can be at work in it: it is removed."""

MAX_AT_ONCE = 100
MAX_LOGS_AT_ONCE = 20
"""Jobs of which the log archive alone is kept, among those at once."""

LOGS_HOLD_S = 600.0
"""After this a log archive that waits does not keep an agent from its end; the next one in its folder goes on."""

_TICK_S = 0.5
_LATER = 1
"""Exit status of `pilotext outputs`: not now."""


_is_name = re.compile("[0-9a-f]{32}").fullmatch


class KeptJob(Record, frozen=True):
    """A job whose outputs are kept; the token in its lease is hidden, `failure` is what its wrapper reported."""

    lease: LeasedJob
    failure: Report
    kept: Kept


class FolderGoneError(Exception):
    """Kept outputs are gone, and nobody knows whether they were published: the job gets no report."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is gone: nobody knows whether its outputs were published, and nothing is reported")


class KeptJobs:
    """All the jobs of an agent whose outputs are kept, each looked after in a thread of its own."""

    def __init__(self, folder: Path, seal: Seal, spool: AgentSpool, stop: threading.Event) -> None:
        self.folder = folder
        self._records = folder / AGENT_RECORDS
        self._locks = _Locks()
        self._seal = seal
        self._spool = spool
        self._stop = stop
        self._lock = threading.Lock()
        self._work: dict[threading.Thread, _Publisher] = {}

    @property
    def busy(self) -> bool:
        """Whether something waits that the agent has to stay for."""
        return any(publisher.holds for publisher in self._alive().values())

    def _alive(self) -> dict[threading.Thread, _Publisher]:
        return {thread: publisher for thread, publisher in list(self._work.items()) if thread.is_alive()}

    def resume(self, client: Callable[[], Client]) -> None:
        """Go on with what an earlier agent in this folder has left."""
        with contextlib.suppress(OSError):  # a payload has put something there: nothing can be kept then
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._records.mkdir(mode=0o700, exist_ok=True)  # `pilotext outputs` knows the folder of an agent by it
        for path in sorted(self._records.glob("*.json")):
            if not self._locks.take(path):
                continue  # another agent in this folder looks after it
            job = self._read(path)
            if job is not None:
                self._look_after(job, client)
                continue
            if path.exists():  # the other one has not just ended with it
                put_aside(path, ".unreadable")
                why = "was not written by an agent of this site: its outputs are not published, and stay on the node"
                print(f"pilotext: {path} {why}", file=sys.stderr)
            self._locks.release(path)

    def _read(self, path: Path) -> KeptJob | None:
        """Return the job of a record; None for a file that no agent with this seal has written."""
        try:
            opened = self._seal.opened(read_own(path), str(path))
            job = from_json(opened.content, KeptJob, where=str(path))
            return replace(job, lease=replace(job.lease, token=opened.show(job.lease.token)))
        except (FieldError, OSError, ValueError):
            return None

    def tidy(self) -> None:
        """Remove folders that no record names, where they are many: payloads have made them to use up the room.

        What a wrapper has just made stays. Age is the time since the last change, whatever date a payload has set.
        """
        named = {Path(publisher.job.kept.folder) for publisher in self._alive().values()}
        named |= {Path(job.kept.folder) for job in map(self._read, self._records.glob("*.json")) if job is not None}
        unnamed = [one for one in self.folder.glob("*") if one not in named and _is_name(one.name)]
        old = time.time() - UNNAMED_AFTER_S
        for folder in unnamed if len(unnamed) > MAX_UNNAMED else []:
            with contextlib.suppress(OSError):
                if folder.lstat().st_ctime < old:
                    remove_tree(folder)

    def take(self, lease: LeasedJob, failure: Report, client: Callable[[], Client]) -> bool:
        """Look after what is kept of a job that has ended; False if there is nothing, or it cannot be looked after."""
        kept = failure.kept
        if kept is None or not self._has_room(kept):
            return False
        hidden = replace(lease, job=replace(lease.job, report=None), token=self._seal.hide(lease.token))
        record = self._record(lease.attempt)
        try:
            self._locks.take(record)  # where that fails, only a second agent in this folder could come in between
            data = self._seal.sign(msgspec.json.encode(KeptJob(hidden, failure, kept)))
            write_whole(record, data)
        except OSError:
            return False
        self._look_after(KeptJob(lease, failure, kept), client)
        return True

    def join(self) -> None:
        """Wait for the threads to end, after `stop` was set."""
        for thread in list(self._work):
            thread.join()

    def _has_room(self, kept: Kept) -> bool:
        publishers = self._alive().values()
        logs = sum(publisher.job.kept.log_only for publisher in publishers)
        return len(publishers) < MAX_AT_ONCE and (not kept.log_only or logs < MAX_LOGS_AT_ONCE)

    def _record(self, attempt: int) -> Path:
        return self._records / f"{attempt}.json"

    def _look_after(self, job: KeptJob, client: Callable[[], Client]) -> None:
        publisher = _LogPublisher(job, self._stop) if job.kept.log_only else _Publisher(job, self._stop)
        name = f"kept-{job.lease.attempt}"
        thread = threading.Thread(target=self._to_the_end, args=(publisher, client), name=name)
        with self._lock:
            self._work = {**self._alive(), thread: publisher}
        thread.start()

    def _to_the_end(self, publisher: _Publisher, client: Callable[[], Client]) -> None:
        asker = client()
        lease = publisher.job.lease
        try:
            report = publisher.work(asker)
        except FolderGoneError as error:
            print(f"pilotext: attempt {lease.attempt}: {error}", file=sys.stderr)
            self._forget(lease.attempt)
            return
        if report is None:  # the agent ends; the next one goes on
            self._locks.release(self._record(lease.attempt))
            return
        if report.log is not None or not publisher.job.kept.log_only:  # else all is reported that is known
            self._spool.keep(lease.attempt, lease.token, report)
        if not self.take(lease, report, client):
            self._forget(lease.attempt)
            remove_tree(Path(publisher.job.kept.folder))
        self._spool.deliver(asker)

    def _forget(self, attempt: int) -> None:
        """Remove the record of a job: its report is on disk, or there is none."""
        self._record(attempt).unlink(missing_ok=True)
        self._locks.release(self._record(attempt), remove=True)


class _Locks:
    """Locks on the records of an agent, so that no other agent in its folder works on the same job."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}

    def take(self, record: Path) -> bool:
        """Hold a record from now on; False where another agent does, or it cannot be held."""
        if record in self._held:
            return True
        try:
            record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        descriptor = open_own(record.with_suffix(".lock"))
        if descriptor is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held[record] = descriptor
        return True

    def release(self, record: Path, *, remove: bool = False) -> None:
        """Hold a record no longer; the file of its lock goes with the record."""
        if remove:
            record.with_suffix(".lock").unlink(missing_ok=True)
        descriptor = self._held.pop(record, None)
        if descriptor is not None:
            os.close(descriptor)


class _Publisher(Runner):
    """Renews the lease of one job, and tries from time to time to publish its outputs."""

    def __init__(self, job: KeptJob, stop: threading.Event) -> None:
        kept = job.kept
        super().__init__(job.lease, Path(kept.folder).parent, time.monotonic() - job.lease.lease_s)
        self.job = job
        self._words = ["outputs", "--publish", kept.folder, "--sha256", kept.sha256]
        self.kill_after_s = None  # transfers have limits of their own
        self._ending = stop
        self._wait_s = FIRST_WAIT_S
        self._since = time.monotonic()

    @property
    def holds(self) -> bool:
        """Whether the agent has to stay for it."""
        return True

    @property
    def _given_up(self) -> Report:
        """The report of a job whose outputs cannot be published any more."""
        return replace(self.job.failure, kept=None)

    def work(self, client: Client) -> Report | None:
        """Return the report of the job when that is known; None when the agent ends before. Raises FolderGoneError."""
        due = 0.0
        while not self._ending.is_set():
            self.tell(client)
            if self.disowned or time.time() > self.job.kept.until:
                return self._given_up
            if time.monotonic() >= due and self._has_lease():
                try:
                    report = self._tried(client)
                except OSError as error:  # no process, descriptor or room left: the next try may find them
                    print(f"pilotext: attempt {self.lease.attempt}: outputs are kept on: {error}", file=sys.stderr)
                    report = None
                if report is not None:
                    return report
                due = time.monotonic() + self._wait_s * random.uniform(0.5, 1.5)  # noqa: S311  only spreads the tries
                self._wait_s = min(2 * self._wait_s, MAX_WAIT_S)
            self._ending.wait(min(self.lease.heartbeat_s, max(_TICK_S, due - time.monotonic())))
        return None

    def tell(self, client: Client) -> Permission:
        """Renew the lease, and say what is waited for; returns whether it may publish."""
        return self.beat(client, OUTPUTS_KEPT, {"storage_away_since": round(self.job.kept.since)})

    def _beat(self, client: Client, process: WrapperProcess) -> Permission:
        permission = self.tell(client)
        if self._ending.is_set():
            process.terminate()
        return permission

    def _has_lease(self) -> bool:
        """Whether the lease was renewed by the last heartbeat."""
        return time.monotonic() - self._renewed < min(2 * self.lease.heartbeat_s, self.lease.lease_s / 2)

    def _tried(self, client: Client) -> Report | None:
        """Try once; None when it is to be tried again. Raises FolderGoneError."""
        folder = Path(self.job.kept.folder)
        if not folder.is_dir():
            raise FolderGoneError(folder)
        self._stopped = False  # an earlier try may have been, as its lease could not be renewed
        with held(folder.parent) as holding:
            self._process = WrapperProcess(self._words, b"", folder.parent, holding)
            try:
                status = self._watched(client, self._process)
            finally:
                self._process.close()
        if status == 0 and (report := self._accepted(self._process.final)) is not None:
            return report
        return None if status in (_LATER, Exit.STOPPED) or status < 0 else self._given_up

    def _accepted(self, final: Report | None) -> Report | None:
        """Return the report to send for what was published; None where there is none to believe."""
        return final if final is not None and final.verdict.verdict == "success" else None


class _LogPublisher(_Publisher):
    """Delivers the log archive of a job that has ended and is reported: there is no lease any more."""

    @property
    def holds(self) -> bool:
        return time.monotonic() - self._since < LOGS_HOLD_S

    def tell(self, client: Client) -> Permission:  # noqa: ARG002  as its base
        """Say nothing: the attempt has ended."""
        return Permission("yes")

    def _has_lease(self) -> bool:
        return True

    def _end_if_cut_off(self, silent_s: float) -> None:
        """Go on, however long nothing was heard of the server."""

    def _accepted(self, final: Report | None) -> Report | None:
        return None if final is None else replace(self.job.failure, log=final.log, kept=None)
