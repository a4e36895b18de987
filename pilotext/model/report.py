"""The report of one attempt: verdict, phases, transfers, usage."""

from __future__ import annotations

from typing import Literal

from pilotext.model import Record
from pilotext.model.job import JobIdentity
from pilotext.model.verdict import ExitStatus, Finding, Phase, Verdict


class Try(Record, frozen=True):
    """One try of a transfer that did not work."""

    url: str
    fault: str
    message: str
    seconds: float


class Transfer(Record, frozen=True):
    """One file moved and compared: `url` is the place it came from or is published at."""

    name: str
    url: str | None
    size: int
    adler32: str
    seconds: float
    tries: tuple[Try, ...] = ()


class PhaseRecord(Record, frozen=True):
    """Phase of a job: start, duration (None while it lasts), and outcome."""

    name: Phase
    started: float
    seconds: float | None = None
    outcome: Literal["running", "done", "failed", "skipped"] = "running"


class StepRecord(Record, frozen=True):
    """Outcome of a step; `exit` is None if it did not end, or never ran.

    Its output begins at these bytes of the payload's streams.
    """

    name: str
    exit: ExitStatus | None = None
    seconds: float | None = None
    stdout_from: int = 0
    stderr_from: int = 0


class Series(Record, frozen=True):
    """Samples of a payload, at most 1000, one column for each quantity; `at_s` is seconds since its start.

    CPU and I/O are totals so far, the others are what it was at that moment.
    """

    at_s: tuple[float, ...] = ()
    cpu_s: tuple[float, ...] = ()
    memory_mb: tuple[float, ...] = ()
    processes: tuple[int, ...] = ()
    read_mb: tuple[float, ...] = ()
    written_mb: tuple[float, ...] = ()
    disk_mb: tuple[float, ...] = ()


class Usage(Record, frozen=True):
    """Resource usage of the payload, over its whole process tree.

    Memory is proportional (PSS) in `peak_pss_mb` as far as it was asked for, else resident (RSS). `log_mb` is what its
    streams have got, `oom_kills` counts the processes that the kernel's memory killer ended in its control group.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    average_memory_mb: float = 0.0
    peak_pss_mb: float = 0.0
    peak_processes: int = 0
    read_mb: float = 0.0
    written_mb: float = 0.0
    peak_disk_mb: float = 0.0
    least_free_mb: float | None = None
    log_mb: float = 0.0
    left_behind: int = 0
    oom_kills: int = 0
    samples: int = 0
    series: Series = Series()


AGENT_RECORDS = "jobs"
"""Folder of the records of an agent, beside the folders of its jobs whose outputs are kept."""


class Kept(Record, frozen=True):
    """Folder on the node where outputs wait for their storage until `until`; `sha256` is of the document there."""

    folder: str
    sha256: str
    bytes: int
    since: float
    until: float
    log_only: bool = False
    """Only the archive of the logs waits: the report holds as it is, and gets the archive's address later."""


class Report(Record, frozen=True, kw_only=True):
    """Report of a job. Until its end it holds the verdict that is true if the wrapper dies now."""

    format: Literal[1] = 1
    pilotext: str
    job: JobIdentity
    state: Literal["running", "done", "failed"]
    phase: Phase
    exit_status: int
    verdict: Verdict
    started: float
    ended: float | None = None
    host: str = ""
    payload: ExitStatus | None = None
    """End of the program; of several steps, of the last that ran."""
    steps: tuple[StepRecord, ...] = ()
    phases: tuple[PhaseRecord, ...] = ()
    inputs: tuple[Transfer, ...] = ()
    outputs: tuple[Transfer, ...] = ()
    log: Transfer | None = None
    tries: tuple[Try, ...] = ()
    """Every failed try of the stage-in or stage-out that ended the job."""
    findings: tuple[Finding, ...] = ()
    usage: Usage = Usage()
    files: dict[str, str] = {}
    """Files to check: role → path on the worker node."""
    kept: Kept | None = None
    """Outputs that were good, or the archive of the logs, which could not be published in time."""
