"""One leased job: its process, its heartbeats, its report."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pilotext import __version__
from pilotext.codes import Exit
from pilotext.decode import from_json
from pilotext.engines.client import Client, ServerError
from pilotext.engines.folders import held
from pilotext.errors import FieldError
from pilotext.messages import Heartbeat, LeasedJob
from pilotext.model import JobIdentity, Report, Verdict

REPORT_NAME = "job.report.json"
JOB_NAME = "pilotext.job.json"
OUTPUT_NAME = "pilotext.out"

_TICK_S = 0.05
_STOPPED_AT, _KILLED_AT = 0.85, 0.95
"""Parts of a lease that was not renewed after which its job is ended, and ended at once."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_LAST_BYTES = 4000


class Runner:
    """Runs a job, asked for at `asked` (monotonic); `stop` ends it, from any thread.

    A job whose lease cannot be renewed is ended in time: when the lease is over, it may be given to another.
    """

    def __init__(self, lease: LeasedJob, folder: Path, asked: float) -> None:
        self.lease = lease
        self.folder = folder
        self._renewed = asked
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, client: Client) -> Report:
        """Run the job to its end and return its final report, whatever has become of its process."""
        with held(self.folder) as holding:
            self._process = self._start(holding)
            return self._watched(client, self._process)

    def _watched(self, client: Client, process: subprocess.Popen[bytes]) -> Report:
        if self._stopped:
            process.terminate()
        due = time.monotonic()
        while process.poll() is None:
            if time.monotonic() >= due:
                self._beat(client)
                due = time.monotonic() + self.lease.heartbeat_s
            self._end_if_cut_off(time.monotonic() - self._renewed)
            time.sleep(_TICK_S)
        return self._report(process.returncode)

    def stop(self) -> None:
        """Tell the job to end; it still reports."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _start(self, holding: int) -> subprocess.Popen[bytes]:
        job = self.folder / JOB_NAME
        descriptor = os.open(job, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds the attempt's token
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(replace(self.lease.job, report=None)))
        command = [sys.executable, "-P", "-X", "utf8", "-m", "pilotext", "run", JOB_NAME, "--workdir", str(self.folder)]
        with (self.folder / OUTPUT_NAME).open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(holding,),
                preexec_fn=_end_with_parent,  # noqa: PLW1509  one system call, nothing that could wait for another thread
            )

    def _beat(self, client: Client) -> None:
        """Tell that the attempt is alive; without an answer the job goes on, since its lease may still hold."""
        began = time.monotonic()
        report = self._read()
        phase = report.phase if report else "prepare"
        progress = report.verdict.counters if report else {}
        try:
            answer = client.heartbeat(
                self.lease.attempt, self.lease.token, Heartbeat(phase, socket.gethostname(), progress)
            )
        except ServerError:
            return
        self._renewed = began
        if answer.command == "stop":
            self.stop()

    def _end_if_cut_off(self, silent_s: float) -> None:
        if silent_s > self.lease.lease_s * _KILLED_AT and self._process is not None:
            self._process.kill()  # what it leaves behind is ended by its keeper
        elif silent_s > self.lease.lease_s * _STOPPED_AT and not self._stopped:
            self.stop()

    def _read(self) -> Report | None:
        try:
            return from_json((self.folder / REPORT_NAME).read_bytes(), Report)
        except (OSError, FieldError):
            return None

    def _report(self, status: int) -> Report:
        report = self._read()
        if report is None:
            return self._refused(status)
        if report.state == "running":  # the wrapper died; its report says so already
            return replace(report, state="failed", ended=time.time())
        return report

    def _refused(self, status: int) -> Report:
        """The wrapper would not start the job at all; what it said is the reason."""
        with (self.folder / OUTPUT_NAME).open("rb") as output:
            output.seek(max(0, os.fstat(output.fileno()).st_size - _LAST_BYTES))
            said = output.read().decode("ascii", "replace").strip().splitlines()
        text = said[-1] if said else f"it ended with status {status} and said nothing"
        now = time.time()
        return Report(
            pilotext=__version__,
            job=JobIdentity.of(self.lease.job),
            state="failed",
            phase="prepare",
            exit_status=status if status > 0 else int(Exit.INTERNAL),
            verdict=Verdict("failure", cause="internal", action="manual-check", diag=f"not started: {text}"[:256]),
            started=now,
            ended=now,
            host=socket.gethostname(),
        )


def _end_with_parent() -> None:
    """An agent that is killed must not leave a job behind that nobody renews the lease of."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
