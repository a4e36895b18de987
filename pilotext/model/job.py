"""A job as it goes in: inputs, outputs, limits, payload."""

from __future__ import annotations

from typing import Literal

import msgspec

from pilotext.model import Record

Kind = str
"""Kind of work of a job, by which rules name their scope: one of KINDS, or one that the profile declares."""

KINDS = ("generation", "simulation", "digitisation", "reconstruction", "decoding", "analysis", "merging", "tool")
"""Kinds of jobs that every experiment has. A `merging` job joins outputs of other jobs; `tool` is any other program."""

LIMITS = ("memory", "wall", "cpu", "disk", "stall", "silence", "free-disk", "output", "processes")
"""Resources that the wrapper can limit; `Limits` holds the values."""

PLACEHOLDER = b"PanDA message: the file is empty\n"
"""Placeholder for an event dump without events; the production system recognises it by its 33 bytes."""


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
    `check` says how to prove that the file is whole: `root` reads it through, `date` (formerly `raw`) walks its events.
    `when_empty: placeholder` allows a missing or empty file and puts the production's placeholder text in its place.
    """

    name: str
    kind: str = "other"
    """A word of letters, digits and `_`; a file of the kind `log` is also in the log archive."""
    destinations: tuple[str, ...] = ()
    publish_as: str | None = msgspec.field(default=None, name="as")
    check: Literal["root", "date", "raw", "none"] = "none"
    when_empty: Literal["fail", "placeholder"] = "fail"
    replaces: tuple[KnownFile, ...] = ()
    """Files that earlier attempts published under this name, by their reports. Any other file there stays."""

    @property
    def published_name(self) -> str:
        return self.publish_as or self.name


class LogTarget(Record, frozen=True):
    """Destinations of the log archive, also for failed jobs.

    Of logs that have more than `max_bytes` together, before compression, it holds the begin, the end, and what stands
    around the evidence.
    """

    destinations: tuple[str, ...]
    name: str | None = None
    max_bytes: int = 32_000_000


class Limits(Record, frozen=True):
    """Limits of the payload; None means unlimited.

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
    """Space in MB that must stay free on the file system of the work directory."""
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
    """Time in seconds for which a stage-out is repeated while its storage is away, within the time of the job."""
    tape_wait_s: float = 12 * 3600.0
    """For a file on tape to come to disk; never more than half of the time until the payload is asked to end."""
    tape_poll_s: float = 15.0
    """Before a tape system is asked a second time how far it is; later waits are longer."""


class ReportTarget(Record, frozen=True):
    """Address for the report, and the token that allows only this attempt to send one."""

    url: str
    token: str = ""


class Step(Record, frozen=True):
    """One program of a payload that has several; `environment` is added to the job's, `setup` replaces the job's."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    setup: str | None = None


class SoftStop(Record, frozen=True):
    """Request to a program to finish early and write its results: a signal, or a file that appears.

    `wait_s` is what it gets for that before SIGTERM comes.
    """

    signal: str | None = None
    file: str | None = None
    wait_s: float = 60.0


def label_of(task: str, job: int, attempt: int) -> str:
    """Name an attempt among all: `<task>-<job>-<attempt>`."""
    return f"{task}-{job}-{attempt}"


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
    """Treatment of core files after their stack trace was written."""
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
        """Names this attempt among all, see `label_of`."""
        return label_of(self.task, self.job, self.attempt)

    @property
    def earlier_labels(self) -> tuple[str, ...]:
        """Those of the attempts before this one, at most of the last ten."""
        numbers = range(max(1, self.attempt - 10), self.attempt)
        return tuple(label_of(self.task, self.job, attempt) for attempt in numbers)

    @property
    def programs(self) -> tuple[Step, ...]:
        """Steps that the payload runs, with the job's environment and setup filled in."""
        steps = self.steps or (Step(name="payload", command=self.command),)
        return tuple(
            msgspec.structs.replace(
                step, environment={**self.environment, **step.environment}, setup=step.setup or self.setup
            )
            for step in steps
        )


class JobIdentity(Record, frozen=True):
    """Identity of the attempt."""

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
