"""One leased job: its process, its heartbeats, its report."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pilotext import __version__
from pilotext.agent.folders import held, make_new
from pilotext.agent.wrapper_process import WrapperProcess
from pilotext.api.client import Client, ServerError
from pilotext.api.http import DISOWNING_STATUSES
from pilotext.api.schemas.attempts import Heartbeat, LeasedJob
from pilotext.model.codes import Exit
from pilotext.model.job import JobIdentity
from pilotext.model.permission import Permission
from pilotext.model.report import Report
from pilotext.model.verdict import Verdict

_TICK_S = 0.05
_STOPPED_AT, _KILLED_AT = 0.85, 0.95
"""Parts of a lease that was not renewed after which its job is ended, and ended at once."""

_RESUME_EVERY_S = 0.5
_OVERTIME_S = 300.0
"""Time over the limit of a job after which its wrapper is killed; it ends the job itself unless it is kept stopped."""

_MAX_NUMBER = 2**63


class Runner:
    """Runs a job, asked for at `asked` (monotonic); `stop` ends it, from any thread.

    A job whose lease cannot be renewed is ended in time: when the lease is over, it may be given to another.
    """

    def __init__(self, lease: LeasedJob, folder: Path, asked: float, options: Sequence[str] = ()) -> None:
        self.lease = lease
        self.folder = folder
        self._options = options
        wall_s = lease.job.limits.wall_s
        self.kill_after_s = None if wall_s is None else wall_s + _OVERTIME_S
        """None: the process is never killed for the time it takes."""
        self._renewed = asked
        self._process: WrapperProcess | None = None
        self._stopped = False
        self.disowned = False
        """Whether the server has said that the job is to end: nothing of it is wanted any more."""

    def run(self, client: Client) -> Report:
        """Run the job to its end and return its final report, whatever has become of its process."""
        document = msgspec.json.encode(replace(self.lease.job, report=None))
        self.folder = make_new(self.folder)
        with held(self.folder) as holding:
            words = ["run", "-", "--workdir", str(self.folder), *self._options]
            self._process = WrapperProcess(words, document, self.folder, holding)
            try:
                status = self._watched(client, self._process)
            finally:
                self._process.close()
            return self.outcome(self._process, status)

    def _watched(self, client: Client, process: WrapperProcess) -> int:
        if self._stopped:
            process.terminate()
        due = resume_at = began = time.monotonic()
        while (status := process.status) is None:
            question = process.question
            if question is not None or time.monotonic() >= due:
                permission = self._beat(client, process)
                due = time.monotonic() + self.lease.heartbeat_s
                if question is not None:
                    process.answer(question, permission)
            if time.monotonic() >= resume_at:
                process.resume()
                resume_at = time.monotonic() + _RESUME_EVERY_S
            if self.kill_after_s is not None and time.monotonic() - began > self.kill_after_s:
                process.kill()
            self._end_if_cut_off(time.monotonic() - self._renewed)
            time.sleep(_TICK_S)
        return status

    @property
    def stopped(self) -> bool:
        """Whether it was asked to end, by the server or the agent, or because its lease was lost."""
        return self._stopped

    def stop(self) -> None:
        """Tell the job to end; it still reports."""
        self._stopped = True
        if self._process is not None and self._process.status is None:
            self._process.terminate()

    def _beat(self, client: Client, process: WrapperProcess) -> Permission:
        """Tell that the attempt is alive; without an answer the job goes on, since its lease may still hold."""
        report = process.last
        phase = report.phase if report else "prepare"
        return self.beat(client, phase, report.verdict.counters if report else {})

    def beat(self, client: Client, phase: str, progress: Mapping[str, int | float]) -> Permission:
        """Renew the lease, and end the job if the server says so; returns whether it may publish."""
        began = time.monotonic()
        beat = Heartbeat(phase, socket.gethostname(), _sendable(progress))
        try:
            answer = client.heartbeat(self.lease.attempt, self.lease.token, beat)
        except ServerError as error:
            return Permission("no" if error.status in DISOWNING_STATUSES else "unknown", str(error))
        self._renewed = began
        if answer.command == "stop":
            self.disowned = True
            self.stop()
            return Permission("no", answer.why)
        return Permission("yes")

    def _end_if_cut_off(self, silent_s: float) -> None:
        if silent_s > self.lease.lease_s * _KILLED_AT and self._process is not None:
            self._process.kill()
        elif silent_s > self.lease.lease_s * _STOPPED_AT and not self._stopped:
            self.stop()

    def outcome(self, process: WrapperProcess, status: int) -> Report:
        """Return the report that holds for a process that ended so.

        A success needs both: a final report that came by the process' own channel, and the status that agrees with it.
        """
        final = process.final
        if final is not None and (final.verdict.verdict != "success" or status == final.exit_status == Exit.SUCCESS):
            return final
        if process.last is None:
            said = process.last_words or f"it ended with status {status} and said nothing"
            return self.failed(f"not started: {said}", status if status > 0 else int(Exit.INTERNAL))
        return replace(process.last, state="failed", outputs=(), ended=time.time())

    def failed(self, diag: str, status: int = Exit.INTERNAL) -> Report:
        """Return a report for a job of which there is none."""
        now = time.time()
        return Report(
            pilotext=__version__,
            job=JobIdentity.of(self.lease.job),
            state="failed",
            phase="prepare",
            exit_status=int(status),
            verdict=Verdict("failure", cause="internal", action="manual-check", diag=diag[:256]),
            started=now,
            ended=now,
            host=socket.gethostname(),
        )


def _sendable(progress: Mapping[str, int | float]) -> dict[str, int | float]:
    """The numbers that JSON and the server can hold: counters come from a log, which may say anything."""
    return {name: value for name, value in progress.items() if -_MAX_NUMBER < value < _MAX_NUMBER}
