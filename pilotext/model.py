"""The records that travel: a Job goes in, a Report comes out, and everything between is made of these.

All are frozen. Files and messages are JSON with the field names as written here; `pilotext.decode` reads them and says
which field is wrong. Sizes are bytes, times are seconds (points in time: seconds since 1970, UTC), memory limits MB of
10^6 bytes, checksums adler32 as 8 hexadecimal digits.
"""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

Kind = Literal["reconstruction", "decoding", "generation", "merging", "tool"]
"""What sort of work a job does; rules name their scope by it."""

Cause = Literal[
    "memory",
    "crash",
    "killed",
    "evicted",
    "input-missing",
    "input-corrupt",
    "output-write",
    "output-invalid",
    "software-setup",
    "calibration",
    "conditions-db",
    "decoding-maps",
    "configuration",
    "root-io",
    "storage",
    "credentials",
    "fatal-error",
    "unhandled-exception",
    "limit",
    "incomplete",
    "internal",
    "unknown",
]

Action = Literal["retry", "retry-elsewhere", "retry-more-memory", "restage", "manual-check", "fail", "note"]
"""What to do next. `note` marks a text that is known to be benign: it never decides a verdict."""

Phase = Literal["prepare", "stage-in", "payload", "classify", "validate", "stage-out", "report"]

STORAGE_FAULTS = (
    "failed",
    "not-found",
    "offline",
    "denied",
    "credentials",
    "no-space",
    "exists",
    "checksum",
    "size",
    "unsupported",
    "unreachable",
    "stalled",
)
"""The classes of `pilotext.errors.StorageError`, by name."""

LIMITS = ("memory", "wall", "cpu", "disk", "stall", "silence", "free-disk", "output", "processes")
"""What the wrapper can limit; `Limits` holds the values."""

FINDINGS = frozenset(
    [
        *(f"stage-in-{fault}" for fault in STORAGE_FAULTS),
        *(f"stage-out-{fault}" for fault in STORAGE_FAULTS),
        *(f"limit-{limit}" for limit in LIMITS),
        "work-directory-unusable",  # cannot write there, or too little room
        "disk-full",  # nothing more could be written when the payload had ended
        "payload-not-found",  # the program or its setup script is not there
        "payload-not-executable",
        "payload-not-started",  # any other refusal of the system
        "out-of-memory",  # the kernel's memory killer ended a process of the payload
        "processes-left-behind",  # by a payload that had ended
        "core-taken",  # a core file, taken out of the pilot's sight
        "evicted",  # the pilot or the batch system wants the job off its node
        "told-to-stop",  # the same by another signal than SIGTERM, which tells of a limit or comes from a person
        "raw-truncated",  # a raw input is empty or ends in the middle of an event
        "raw-damaged",  # a raw input holds something that is not an event
        "input-damaged",  # another input that cannot be read whole, or does not hold what the catalogue says
        "output-outside",  # a link out of the work directory, or another name of somebody else's file
        "output-missing",
        "output-empty",
        "output-replaced",  # missing or empty, and the job allows the placeholder
        "output-damaged",  # a ROOT or raw file that cannot be read whole
        "output-unchecked",  # the check itself could not be done
        "output-checked-in-part",  # as far as can be done without the reader for what it holds
        "law-broken",  # counters of input, program and output do not agree
        "law-uneven",  # the same, where it is not known whether they must
        "no-log",  # there was no log to judge
        "log-not-delivered",  # the archive of the logs; it stays in the work directory
        "report-not-written",  # the final report, in the work directory
        "report-not-delivered",  # the report to the server; it stays in the work directory
        "unclassified",  # the job failed and no rule says why
        "classifier-failed",
        "wrapper-died",  # what a report says until the job has ended
        "internal-error",
        # What the server finds out when a PanDA pilot ended a job, and no report came.
        "output-not-published",
        "output-is-another",
        "output-not-compared",
        "report-contradicted",
        "pilot-says-done",
        "pilot-says-failed",
        "pilot-was-ended",
        "pilot-evicted",
        "pilot-limit",
        "pilot-memory",
        "pilot-node-unusable",
        "pilot-without-pilotext",
    ]
)
"""Everything the wrapper can find out by itself, for rules of kind `finding`. What each means stands in the rules."""


PLACEHOLDER = b"PanDA message: the file is empty\n"
"""What stands for an event dump without events; the production system knows it by its 33 bytes."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record that travels; a field nobody knows is an error, not a surprise."""


# ----------------------------------------------------------------------------------------------------------------- job


class Input(Record, frozen=True):
    """One file to stage in: its name in the work directory, and where it can be had, best source first."""

    name: str
    sources: tuple[str, ...]
    size: int | None = None
    adler32: str | None = None
    events: int | None = None
    """Events that the catalogue promises."""


class KnownFile(Record, frozen=True):
    """A file by what tells it from others: bytes, and adler32 as 8 hexadecimal digits."""

    size: int
    adler32: str


class Output(Record, frozen=True):
    """One file that the payload must leave behind.

    A destination that ends in `/` is a folder: the file gets its own name there, or `as`.
    `check` says how to prove that the file is whole: `root` reads it through, `raw` walks its events.
    `when_empty: placeholder` allows a missing or empty file and puts the production's placeholder text in its place.
    """

    name: str
    kind: Literal["mdst", "hist", "dump", "log", "other"] = "other"
    destinations: tuple[str, ...] = ()
    publish_as: str | None = msgspec.field(default=None, name="as")
    check: Literal["root", "raw", "none"] = "none"
    when_empty: Literal["fail", "placeholder"] = "fail"
    replaces: tuple[KnownFile, ...] = ()
    """Files that earlier attempts published under this name, by their reports. Any other file there stays."""

    @property
    def published_name(self) -> str:
        return self.publish_as or self.name


class LogTarget(Record, frozen=True):
    """Where the archive of the job's logs goes, also for failed jobs.

    Of logs that have more than `max_bytes` together, before compression, it holds the begin, the end, and what stands
    around the evidence.
    """

    destinations: tuple[str, ...]
    name: str | None = None
    max_bytes: int = 32_000_000


class Limits(Record, frozen=True):
    """What the payload may use; None is no limit.

    `stall_s` is the time without progress (a counter of the log that its rule calls progress), `silence_s` the time
    without any output, `grace_s` the time between SIGTERM and SIGKILL.
    """

    wall_s: float | None = None
    """For the whole job, from stage-in to report."""
    finish_s: float | None = None
    """The part of `wall_s` that is kept for what follows the payload; a tenth, at most half an hour, if not said."""
    cpu_s: float | None = None
    memory_mb: float | None = None
    disk_mb: float | None = None
    """Of the work directory."""
    min_free_mb: float | None = None
    """What must stay free on the file system of the work directory."""
    output_mb: float | None = None
    """The largest size of any one output or stream of the payload."""
    processes: int | None = None
    stall_s: float | None = None
    silence_s: float | None = None
    grace_s: float = 10.0
    transfer_stall_s: float = 300.0
    """A transfer that moves nothing for so long is ended and tried again."""
    transfer_min_kb_s: float = 50.0
    """A transfer that is slower over `transfer_stall_s` is ended and tried again; 0 allows every rate."""
    transfer_tries: int = 3
    transfer_wait_s: float = 10.0
    """Before the second try of a transfer; later waits are longer."""
    transfer_retry_s: float = 3600.0
    """For failed tries and the waits after them, over the sources of one input, or over all of a stage-out."""
    stage_out_s: float = 4 * 3600.0
    """How long a stage-out whose storage is away is tried again, within the time of the job."""
    tape_wait_s: float = 12 * 3600.0
    """For a file on tape to come to disk; never more than half of the time until the payload is asked to end."""
    tape_poll_s: float = 15.0
    """Before a tape system is asked a second time how far it is; later waits are longer."""


class ReportTarget(Record, frozen=True):
    """Where the report is delivered, and the token that allows just this attempt to do so."""

    url: str
    token: str = ""


class Step(Record, frozen=True):
    """One program of a payload that has several; `environment` is added to the job's, `setup` replaces the job's."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    setup: str | None = None


class SoftStop(Record, frozen=True):
    """How a program is asked to finish early and write what it has: by a signal, or by a file that appears.

    `wait_s` is what it gets for that before SIGTERM comes.
    """

    signal: str | None = None
    file: str | None = None
    wait_s: float = 60.0


class Job(Record, frozen=True):
    """One job, complete: the worker needs nothing else but the rules.

    Its payload is one `command`, or `steps` that run one after the other until one of them fails.
    """

    format: Literal[1]
    experiment: str
    type: str
    kind: Kind
    command: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    task: str = "local"
    job: int = 0
    attempt: int = 1
    panda_id: int | None = None
    run: int | None = None
    chunk: int | None = None
    software: str = ""
    """The version of the experiment's software, for rules that are meant for some versions only."""
    setup: str | None = None
    environment: dict[str, str] = {}
    credentials: tuple[str, ...] = ()
    """Variables of the node that name credentials, and that the payload gets all the same."""
    soft_stop: SoftStop | None = None
    cores: Literal["remove", "keep"] = "remove"
    """What becomes of core files once their stack trace is written."""
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    log: LogTarget | None = None
    law: str | None = None
    limits: Limits = Limits()
    report: ReportTarget | None = None
    unreported: bool | None = None
    """Whether an earlier attempt may have published outputs without telling; any file of their names is replaced then.

    If it is not said, that holds for every attempt but the first.
    """

    @property
    def replaces_any(self) -> bool:
        """Whether any file that has the name of an output may be one of an earlier attempt."""
        return self.attempt > 1 if self.unreported is None else self.unreported

    @property
    def label(self) -> str:
        """Names this attempt among all: `<task>-<job>-<attempt>`."""
        return self._label(self.attempt)

    @property
    def earlier_labels(self) -> tuple[str, ...]:
        """Those of the attempts before this one, at most of the last ten."""
        return tuple(self._label(attempt) for attempt in range(max(1, self.attempt - 10), self.attempt))

    def _label(self, attempt: int) -> str:
        return f"{self.task}-{self.job}-{attempt}"

    @property
    def programs(self) -> tuple[Step, ...]:
        """What the payload runs, as steps with the job's environment and setup in them."""
        steps = self.steps or (Step(name="payload", command=self.command),)
        return tuple(
            msgspec.structs.replace(
                step, environment={**self.environment, **step.environment}, setup=step.setup or self.setup
            )
            for step in steps
        )


# ------------------------------------------------------------------------------------------------------------- verdict


class ExitStatus(Record, frozen=True):
    """How a program ended, as its parent saw it: an exit code, or the name of the signal that ended it."""

    code: int | None = None
    signal: str | None = None
    core: bool = False

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit status {self.code}"
        return f"killed by {self.signal}" + (" (core dumped)" if self.core else "")


def signal_name(number: int) -> str:
    """The name of a signal, for real-time signals too: `SIGKILL`, `SIGRTMIN+6`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class Finding(Record, frozen=True):
    """Something the wrapper found out by itself; `name` is one of FINDINGS, `text` the sentence with the facts."""

    name: str
    text: str
    phase: Phase
    fields: dict[str, str | int | float] = {}


class Evidence(Record, frozen=True):
    """Where a rule saw what it looks for.

    `stream` is stdout, stderr, the name of a file, or `wrapper` for what the wrapper measured; `line` counts from 1 and
    `offset` is in bytes of the original stream (both 0 where there is no line).
    """

    rule: str
    stream: str
    line: int
    offset: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Match(Record, frozen=True):
    """A rule that matched, how often, and its first evidence."""

    rule: str
    code: str
    action: Action
    count: int
    evidence: tuple[Evidence, ...]


class Dropped(Record, frozen=True):
    """A match that was not elected, and why."""

    rule: str
    reason: str


class Verdict(Record, frozen=True):
    """What happened, the evidence for it, and what to do next.

    `failure` and `success` are judged; `unknown` says that there was nothing to judge by. `also` lists every other rule
    that matched, `dropped` why none of those was elected. `signature` is set where the cause is unknown: equal for the
    same failure on other nodes, dates and runs.
    """

    verdict: Literal["success", "failure", "unknown"]
    code: str | None = None
    number: int = 0
    cause: Cause | None = None
    action: Action | None = None
    rule: str | None = None
    title: str = ""
    diag: str = ""
    remedy: str = ""
    evidence: tuple[Evidence, ...] = ()
    also: tuple[Match, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    counters: dict[str, int | float] = {}
    signature: str | None = None
    ruleset: str = ""


# -------------------------------------------------------------------------------------------------------------- report


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
    """When a phase began, how long it took (None while it lasts), and how it ended."""

    name: Phase
    started: float
    seconds: float | None = None
    outcome: Literal["running", "done", "failed", "skipped"] = "running"


class StepRecord(Record, frozen=True):
    """What became of a step: `exit` is None if it did not end, or never ran.

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
    """What the payload used, over its whole process tree.

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


class Kept(Record, frozen=True):
    """Where outputs wait on the node for their storage, at most `until`; `sha256` is of the document there."""

    folder: str
    sha256: str
    bytes: int
    since: float
    until: float


class JobIdentity(Record, frozen=True):
    """Which attempt of which job this is."""

    experiment: str
    type: str
    kind: Kind
    task: str
    job: int
    attempt: int
    panda_id: int | None
    run: int | None
    chunk: int | None

    @classmethod
    def of(cls, job: Job) -> JobIdentity:
        return cls(**{name: getattr(job, name) for name in cls.__struct_fields__})


class Report(Record, frozen=True, kw_only=True):
    """What became of a job, valid from its first second: until the end it says what is true if the wrapper dies now."""

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
    """How the program ended; of several steps, the last that ran."""
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
    """Where to look: role → path on the worker node."""
    kept: Kept | None = None
    """Outputs that were good and could not be published in time."""
