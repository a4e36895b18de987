"""Every state machine as a table: from each state, where it may go, and who may move it there.

The database refuses states that are not here, and `advance` every move that is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from django.db.models import TextChoices

Actor = Literal["cycle", "attempt", "person"]
"""The server by itself; an attempt's worker, by asking for a job, a heartbeat, a report, or its silence; a person. The
last two also where the cycle carries out later what a report has claimed, or what a person has decided."""

Actors = frozenset[Actor]

_CYCLE: Actors = frozenset({"cycle"})
_ATTEMPT: Actors = frozenset({"attempt"})
_PERSON: Actors = frozenset({"person"})


class MoveError(Exception):
    """A mistake in the program: a move that its machine does not grant to this actor."""


@dataclass(frozen=True)
class Machine:
    """A state machine: its name in the audit trail, its moves, and its final states, which only a person takes back.

    The table of moves has the values of `choices`; it is compared with them when it is made.
    """

    name: str
    choices: type[TextChoices]
    moves: Mapping[str, Mapping[str, Actors]]
    final: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        known = {*self.choices.values}
        if {*self.moves} != known or not all(known.issuperset(targets) for targets in self.moves.values()):
            raise MoveError(f"{self.name}: its table of moves must have exactly the states {sorted(known)}.")
        for state in self.final:
            for target, actors in self.moves[state].items():
                if actors != _PERSON:
                    raise MoveError(f"{self.name}: only a person may move from {state}, which is final, to {target}.")

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.choices.values)

    def sources(self, target: str, actor: Actor) -> tuple[str, ...]:
        """The states from which this actor may move to `target`."""
        return tuple(state for state, targets in self.moves.items() if actor in targets.get(target, ()))

    def check(self, sources: Collection[str], target: str, actor: Actor) -> None:
        """Raise MoveError unless this actor may move to `target` from each of the sources."""
        for source in sources:
            if actor not in self.moves[source].get(target, ()):
                raise MoveError(f"{self.name}: {source} -> {target} is no move of the actor `{actor}`.")


class TaskState(TextChoices):
    """States of a task."""

    DRAFT = "draft"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ARCHIVING = "archiving"
    ARCHIVED = "archived"
    CANCELLED = "cancelled"


class JobState(TextChoices):
    """States of a job."""

    DEFINED = "defined"
    STAGING = "staging"
    READY = "ready"
    SENT = "sent"
    RUNNING = "running"
    VERIFYING = "verifying"
    FINISHED = "finished"
    MANUAL = "manual"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(TextChoices):
    """States of an attempt."""

    LEASED = "leased"
    RUNNING = "running"
    VERIFYING = "verifying"
    LOST = "lost"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ProductState(TextChoices):
    """States of a product: one kind of output of one run."""

    WAITING = "waiting"
    MERGING = "merging"
    MERGED = "merged"
    CHECKED = "checked"
    COPYING = "copying"
    KEPT = "kept"
    CLEANED = "cleaned"
    MANUAL = "manual"


class MergeGroupState(TextChoices):
    """States of a merge group."""

    OPEN = "open"
    SENT = "sent"
    MERGED = "merged"
    DISSOLVED = "dissolved"


class StagedFileState(TextChoices):
    """States of a file on tape."""

    WANTED = "wanted"
    REQUESTED = "requested"
    ONLINE = "online"
    FAILED = "failed"
    RELEASED = "released"


class LogArchiveState(TextChoices):
    """States of a log archive."""

    WANTED = "wanted"
    KEPT = "kept"
    CLEANED = "cleaned"
    MANUAL = "manual"


class AgentState(TextChoices):
    """States of an agent."""

    ACTIVE = "active"
    DRAINING = "draining"
    GONE = "gone"


class BreakerState(TextChoices):
    """States of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class OutputState(TextChoices):
    """States of a published file, which only follow those of its job and its product."""

    VALID = "valid"
    SUPERSEDED = "superseded"
    REMOVED = "removed"


TASK = Machine(
    "task",
    TaskState,
    {
        # Its jobs are being defined, or taken up again.
        "draft": {"ready": _CYCLE | _PERSON, "cancelled": _PERSON},
        "ready": {"running": _PERSON, "cancelled": _PERSON},  # all jobs are there; somebody decides to begin
        "running": {"paused": _PERSON, "done": _CYCLE, "cancelled": _PERSON},
        # Nothing new is sent; results are still taken and acted on.
        "paused": {"running": _PERSON, "done": _CYCLE, "cancelled": _PERSON},
        "done": {"running": _PERSON, "archiving": _PERSON},  # running again when a job is resent
        "archiving": {"archived": _CYCLE, "done": _CYCLE},  # done again where its archives have no name
        "archived": {},
        "cancelled": {"draft": _PERSON, "running": _PERSON},  # resumed as a whole, or when a job is resent
    },
    final=frozenset({"done", "archived", "cancelled"}),
)

_AFTER_AN_ATTEMPT: Mapping[str, Actors] = {
    **dict.fromkeys(("verifying", "finished", "ready", "defined", "manual", "failed"), _ATTEMPT),
    "cancelled": _CYCLE | _PERSON,
}

JOB = Machine(
    "job",
    JobState,
    {
        # Its input has to be brought to disk.
        "defined": {
            "staging": _CYCLE,
            "ready": _CYCLE,
            # As from `ready`: an attempt of it is still at work.
            **dict.fromkeys(("running", "verifying", "finished"), _ATTEMPT),
            "manual": _CYCLE | _ATTEMPT,
            "cancelled": _CYCLE | _PERSON,
        },
        "staging": {
            "ready": _CYCLE,
            **dict.fromkeys(("running", "verifying", "finished"), _ATTEMPT),
            "manual": _CYCLE | _ATTEMPT,
            "cancelled": _CYCLE | _PERSON,
        },
        "ready": {  # may be given out after `not_before`
            "sent": _ATTEMPT,
            "running": _ATTEMPT,  # a lost attempt is heard of before somebody else has the job, or reports
            "verifying": _ATTEMPT,
            "finished": _ATTEMPT,
            "failed": _ATTEMPT,
            "defined": _CYCLE | _ATTEMPT,
            "manual": _CYCLE | _ATTEMPT,
            "cancelled": _CYCLE | _PERSON,
        },
        "sent": {"running": _ATTEMPT, **_AFTER_AN_ATTEMPT},  # leased to an agent or a pilot
        "running": _AFTER_AN_ATTEMPT,
        # A success was reported; the server compares the published files before it believes that.
        "verifying": {to: actors for to, actors in _AFTER_AN_ATTEMPT.items() if to != "verifying"},
        # Manual where its input was produced again by a decision, after its outputs were published for good.
        "finished": dict.fromkeys(("ready", "defined", "manual"), _PERSON),
        "manual": {  # somebody has to decide
            **dict.fromkeys(("ready", "defined", "failed"), _PERSON),
            # Its last attempt was only lost, and is heard of after all.
            **dict.fromkeys(("running", "verifying"), _ATTEMPT),
            "finished": _ATTEMPT | _PERSON,
            "cancelled": _CYCLE | _PERSON,
        },
        "failed": dict.fromkeys(("ready", "defined", "finished", "cancelled"), _PERSON),
        "cancelled": {"ready": _PERSON, "defined": _PERSON},
    },
    final=frozenset({"finished", "failed", "cancelled"}),
)

_END_OF_AN_ATTEMPT: Mapping[str, Actors] = dict.fromkeys(("finished", "failed", "cancelled"), _ATTEMPT)

ATTEMPT = Machine(
    "attempt",
    AttemptState,
    {
        "leased": {"running": _ATTEMPT, "verifying": _ATTEMPT, "lost": _ATTEMPT, **_END_OF_AN_ATTEMPT},
        "running": {"verifying": _ATTEMPT, "lost": _ATTEMPT, **_END_OF_AN_ATTEMPT},
        "verifying": _END_OF_AN_ATTEMPT,  # it reported a success, see `JOB`
        # Heard of again before somebody else had the job.
        "lost": {"running": _ATTEMPT, "verifying": _ATTEMPT, **_END_OF_AN_ATTEMPT},
        "finished": {},
        "failed": {},
        "cancelled": {},
    },
    final=frozenset({"finished", "failed", "cancelled"}),
)

PRODUCT = Machine(
    "product",
    ProductState,
    {
        # For the chunks of its run; merged at once without any to merge.
        "waiting": {"merging": _CYCLE, "merged": _CYCLE, "manual": _CYCLE},
        "merging": {"merged": _CYCLE, "manual": _CYCLE, "waiting": _PERSON},
        "merged": {"checked": _CYCLE, "manual": _CYCLE, "waiting": _PERSON},
        # Merged anew by itself when a merged file is gone before it was kept.
        "checked": {"copying": _CYCLE, "kept": _CYCLE, "manual": _CYCLE, "waiting": _CYCLE | _PERSON},
        "copying": {"kept": _CYCLE, "manual": _CYCLE, "waiting": _CYCLE | _PERSON},
        "kept": {"cleaned": _CYCLE, "waiting": _PERSON},  # verified on its final storage
        "cleaned": {"waiting": _PERSON},  # the chunk files are gone; all jobs of the run are sent again together
        # Goes on by itself when it was decided on the jobs that it waits for.
        "manual": {"waiting": _CYCLE | _PERSON, "merging": _CYCLE, "checked": _PERSON},
    },
    final=frozenset({"cleaned"}),
)

GROUP = Machine(
    "merge group",
    MergeGroupState,
    {
        "open": {"sent": _CYCLE, "dissolved": _CYCLE},
        "sent": {"merged": _CYCLE, "dissolved": _CYCLE},
        "merged": {"dissolved": _CYCLE},
        "dissolved": {},  # its run was merged anew; the row stays for the history
    },
    final=frozenset({"dissolved"}),
)

STAGED_FILE = Machine(
    "staged file",
    StagedFileState,
    {
        "wanted": {"requested": _CYCLE, "failed": _CYCLE, "released": _CYCLE},
        "requested": {"online": _CYCLE, "wanted": _CYCLE, "failed": _CYCLE, "released": _CYCLE},
        "online": {"wanted": _CYCLE, "released": _CYCLE},
        "failed": {"wanted": _CYCLE, "released": _CYCLE},
        "released": {"wanted": _CYCLE},
    },
)

ARCHIVE = Machine(
    "log archive",
    LogArchiveState,
    {
        "wanted": {"kept": _CYCLE, "manual": _CYCLE},
        "kept": {"cleaned": _CYCLE},  # verified where it is kept
        "cleaned": {},  # the log files that it holds are gone
        "manual": {"wanted": _PERSON},
    },
    final=frozenset({"cleaned"}),
)

AGENT = Machine(
    "agent",
    AgentState,
    {
        "active": {"draining": _ATTEMPT | _PERSON, "gone": _CYCLE | _ATTEMPT},
        "draining": {"active": _ATTEMPT, "gone": _CYCLE | _ATTEMPT},
        "gone": {"active": _ATTEMPT, "draining": _ATTEMPT | _PERSON},
    },
)

BREAKER = Machine(
    "breaker",
    BreakerState,
    {
        "closed": {"open": _CYCLE | _PERSON},  # jobs are given out, or the storage server is used
        "open": {"probing": _CYCLE | _ATTEMPT, "closed": _CYCLE | _PERSON},  # none are, until `due`
        "probing": {"closed": _CYCLE | _PERSON, "open": _CYCLE | _PERSON},  # one tries whether it works again
    },
)

GOING_ON = (TaskState.RUNNING, TaskState.PAUSED)
"""A task in these states has its results taken and acted on: its merges are finished, compared and kept."""

STOPPED = (TaskState.CANCELLED, TaskState.DRAFT)
"""A task in these states stays as it is until somebody resumes it, or until its jobs are taken up again."""

ACTIVE_ATTEMPT = (AttemptState.LEASED, AttemptState.RUNNING)
"""An attempt that may still report for itself; a job has at most one of them."""

OPEN_JOB = (
    JobState.DEFINED,
    JobState.STAGING,
    JobState.READY,
    JobState.SENT,
    JobState.RUNNING,
    JobState.VERIFYING,
    JobState.MANUAL,
)
"""A job that may still be run, or waits for a decision; a task with one of them has not ended."""

FAILED_ATTEMPT = (AttemptState.FAILED, AttemptState.LOST)
