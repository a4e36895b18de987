"""Every state machine as a table: from each state, where it may go. The database refuses states that are not here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A state machine: its name in the audit trail, and its moves."""

    name: str
    moves: dict[str, tuple[str, ...]]

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.moves)

    def sources(self, target: str) -> tuple[str, ...]:
        """The states from which `target` can be reached in one move."""
        return tuple(state for state, targets in self.moves.items() if target in targets)


TASK = Machine(
    "task",
    {
        "draft": ("ready", "cancelled"),  # its jobs are being defined, or taken up again
        "ready": ("running", "cancelled"),  # all jobs are there; somebody decides to begin
        "running": ("paused", "done", "cancelled"),
        "paused": ("running", "done", "cancelled"),  # nothing new is sent; results are still taken and acted on
        "done": ("running", "archiving"),  # running again when a job is resent
        "archiving": ("archived", "done"),
        "archived": (),
        "cancelled": ("draft", "running"),  # resumed as a whole, or running again when a job is resent
    },
)

_AFTER_AN_ATTEMPT = ("verifying", "finished", "ready", "defined", "manual", "failed", "cancelled")

JOB = Machine(
    "job",
    {
        "defined": ("staging", "ready", "manual", "cancelled"),  # its input has to be brought to disk
        "staging": ("ready", "defined", "manual", "cancelled"),
        # May be given out after `not_before`; running again when a lost attempt is heard of before that.
        "ready": ("sent", "running", "verifying", "defined", "finished", "failed", "manual", "cancelled"),
        "sent": ("running", *_AFTER_AN_ATTEMPT),  # leased to an agent or a pilot
        "running": _AFTER_AN_ATTEMPT,
        # A success was reported; the server compares the published files before it believes that.
        "verifying": ("finished", "ready", "defined", "manual", "failed", "cancelled"),
        "finished": ("ready", "defined", "manual"),
        "manual": ("ready", "defined", "finished", "failed", "cancelled"),  # somebody has to decide
        "failed": ("ready", "defined", "finished", "cancelled"),
        "cancelled": ("ready", "defined"),
    },
)

ATTEMPT = Machine(
    "attempt",
    {
        "leased": ("running", "verifying", "finished", "failed", "lost", "cancelled"),
        "running": ("verifying", "finished", "failed", "lost", "cancelled"),
        "verifying": ("finished", "failed", "cancelled"),  # it reported a success, see `JOB`
        "lost": ("running", "verifying", "finished", "failed", "cancelled"),  # heard of before another had it
        "finished": (),
        "failed": (),
        "cancelled": (),
    },
)

PRODUCT = Machine(
    "product",
    {
        "waiting": ("merging", "manual", "merged"),  # for the chunks of its run; merged at once without any to merge
        "merging": ("merged", "waiting", "manual"),
        "merged": ("checked", "waiting", "manual"),
        "checked": ("copying", "kept", "waiting", "manual"),
        "copying": ("kept", "checked", "waiting", "manual"),
        "kept": ("cleaned", "waiting", "manual"),  # verified on its final storage
        "cleaned": ("waiting",),  # the chunk files are gone; all jobs of the run are sent again together
        "manual": ("waiting", "merging", "merged", "checked"),
    },
)

GROUP = Machine(
    "merge group",
    {
        "open": ("sent", "dissolved"),
        "sent": ("merged", "open", "dissolved"),
        "merged": ("dissolved",),
        "dissolved": (),  # its run was merged anew; the row stays for the history
    },
)

STAGED_FILE = Machine(
    "staged file",
    {
        "wanted": ("requested", "online", "failed", "released"),
        "requested": ("online", "wanted", "failed", "released"),
        "online": ("released", "wanted"),
        "failed": ("wanted", "released"),
        "released": ("wanted",),
    },
)

ARCHIVE = Machine(
    "log archive",
    {
        "wanted": ("kept", "manual"),
        "kept": ("cleaned",),  # verified where it is kept
        "cleaned": (),  # the log files that it holds are gone
        "manual": ("wanted",),
    },
)

AGENT = Machine(
    "agent", {"active": ("draining", "gone"), "draining": ("gone", "active"), "gone": ("active", "draining")}
)

BREAKER = Machine(
    "breaker",
    {
        "closed": ("open",),  # jobs are given out
        "open": ("probing", "closed"),  # none are, until `due`
        "probing": ("closed", "open"),  # one is under way, to see whether it works again
    },
)

ACTIVE_ATTEMPT = ("leased", "running")
"""An attempt that may still report for itself; a job has at most one of them."""

FAILED_ATTEMPT = ("failed", "lost")
