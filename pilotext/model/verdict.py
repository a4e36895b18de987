"""A verdict on a job, and the findings, exit statuses and evidence that it rests on."""

from __future__ import annotations

import signal
from typing import Literal

from pilotext.model import Record
from pilotext.model.job import LIMITS

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
"""Next action. `note` marks a text that is known to be benign: it never decides a verdict."""

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
        "log-not-delivered",  # the archive of the logs; it is kept, or stays in the work directory
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
        # What the batch system says of the batch job of an agent or a pilot, when no report came.
        "batch-job-ended",
        "batch-job-memory",
        "node-failed",
    ]
)
"""Everything the wrapper can find out by itself, for rules of kind `finding`. What each means stands in the rules."""


class ExitStatus(Record, frozen=True):
    """End of a program as its parent saw it: an exit code, or the name of the signal that ended it."""

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
    """Place where a rule matched.

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
    """Verdict on a job: code and cause, the evidence, and the next action.

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
