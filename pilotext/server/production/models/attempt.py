"""Tables of attempts: what was reported of each and verified, its outputs, and signatures of unknown failures."""

from __future__ import annotations

from typing import Self

from django.db import models

from pilotext.server.production.models.common import only_states_of
from pilotext.server.production.models.people import Agent
from pilotext.server.production.models.task import Experiment, Job, Site, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, FAILED_ATTEMPT, AttemptState, OutputState
from pilotext.server.times import EPOCH, now

_ACTIVE = models.Q(state__in=ACTIVE_ATTEMPT)
_FAILED = models.Q(state__in=FAILED_ATTEMPT)


class Signature(models.Model):
    """A failure that no rule knows: equal for the same one on other nodes, dates and runs."""

    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="signatures")
    signature = models.TextField()
    count = models.IntegerField(default=0)
    first = models.DateTimeField(default=now)
    last = models.DateTimeField(default=now)
    diag = models.TextField(default="")
    note = models.TextField(default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "signature"], name="signature_once")]
        indexes = [models.Index(fields=["last"], name="signature_by_last")]


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def active(self) -> Self:
        """Select attempts that may still report for themselves."""
        return self.filter(state__in=ACTIVE_ATTEMPT)


class Attempt(models.Model):
    """One try of a job, with a token of its own. Its id is what a PanDA pilot knows as PandaID.

    It holds the job until `lease_until`; every heartbeat moves that. The verdict's fields are empty until it has ended.
    """

    job = models.ForeignKey(Job, models.PROTECT, related_name="tries")
    task = models.ForeignKey(Task, models.PROTECT, related_name="tries", db_index=False)
    number = models.IntegerField()
    state = models.TextField(default=AttemptState.LEASED)
    token = models.TextField(unique=True)
    """SHA-256 of the token, hexadecimal; the token itself is nowhere."""
    agent = models.ForeignKey(Agent, models.SET_NULL, null=True, related_name="tries", db_index=False)
    key = models.TextField(default="")
    """The agent's word for the request that it answers, which is known again when the answer was lost."""
    site = models.ForeignKey(Site, models.PROTECT, related_name="tries")
    node = models.TextField(default="")
    leased = models.DateTimeField(default=now)
    seen = models.DateTimeField(default=now)
    pilot = models.TextField(default="")
    """Label of the token of the PanDA pilot that has it; empty for an agent."""
    pilot_said = models.JSONField(default=dict)
    """The pilot's last word, as the record `PilotSaid`; empty while there is none."""
    ticket = models.TextField(default="")
    """SHA-256 of what fetches the job, with its token, soon after it was given out to a pilot."""
    fetched = models.DateTimeField(null=True)
    panda_task = models.BigIntegerField(null=True)
    """JEDI task that it is in; 0 while it is taken for PanDA and has none, None where it is not PanDA's."""
    panda_job = models.BigIntegerField(null=True)
    """PandaID of its job in PanDA."""
    batch_job = models.TextField(default="")
    """Batch job of its PanDA pilot, as the factory reports it; empty for an agent, whose name says the same."""
    batch_end = models.TextField(default="")
    """End of the batch job by the batch system's word, as a `BatchEnd`; empty: it may run."""
    lease_s = models.FloatField()
    lease_until = models.DateTimeField()
    expected_files = models.TextField(default="")
    """Files that its job publishes, as the record `ExpectedFiles`; empty in rows of former versions."""
    stop = models.TextField(default="")
    """Reason for the worker to end it, sent with the answer to its next heartbeat; empty: go on."""
    ended = models.DateTimeField(null=True)
    phase = models.TextField(default="")
    progress = models.JSONField(default=dict)
    verdict = models.TextField(default="")
    code = models.TextField(default="")
    code_number = models.IntegerField(default=0)
    cause = models.TextField(default="")
    action = models.TextField(default="")
    rule = models.TextField(default="")
    diag = models.TextField(default="")
    exit_status = models.IntegerField(null=True)
    signature = models.ForeignKey(Signature, models.SET_NULL, null=True, related_name="tries")
    charged = models.BooleanField(default=False)
    decision = models.TextField(default="")
    """Decision after the verdict, with its reason."""
    wall_s = models.FloatField(null=True)
    """Time that its payload took; this and the next ones are of its report, None where there is none."""
    cpu_s = models.FloatField(null=True)
    peak_memory_mb = models.FloatField(null=True)
    events = models.BigIntegerField(null=True)
    """Events that its payload processed."""
    transfers = models.JSONField(null=True)
    """Files that it moved, as records `MovedBytes`."""

    objects = AttemptQuerySet.as_manager()

    class Meta:
        constraints = [
            only_states_of(ATTEMPT),
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
            models.UniqueConstraint(fields=["job"], condition=_ACTIVE, name="attempt_active_once"),
        ]
        indexes = [
            # With the state first, and not of the active ones only: SQLite would not take that for a list of states.
            models.Index(fields=["state", "lease_until"], name="attempt_lease"),
            models.Index(fields=["state", "site", "task"], name="attempt_active_at"),
            models.Index(fields=["agent", "state"], name="attempt_of_agent"),
            models.Index(fields=["task", "code"], name="attempt_by_code"),
            models.Index(fields=["task", "ended"], name="attempt_by_task"),
            models.Index(fields=["ended"], name="attempt_by_end"),
            models.Index(
                fields=["task", "panda_task"], name="attempt_by_panda", condition=models.Q(panda_task__isnull=False)
            ),
            models.Index(fields=["leased"], name="attempt_by_lease"),
            # Counting errors and watching for breakers read this one alone; most attempts are not in it.
            models.Index(
                fields=["state", "ended", "site", "task", "code", "cause", "job"],
                name="attempt_failed",
                condition=_FAILED,
            ),
        ]


class AttemptReport(models.Model):
    """The whole report of an attempt, as the worker sent it: changed rules can be applied to it again."""

    attempt = models.OneToOneField(Attempt, models.CASCADE, primary_key=True, related_name="final_report")
    report = models.TextField()
    reclassified = models.TextField(default="")
    """The verdict that changed rules gave it since, as JSON; empty: that of the report holds."""
    late = models.BooleanField(default=False)
    """It came after its lease had expired and somebody else had the job; it was kept and not acted on."""


class Verification(models.Model):
    """A reported success whose published files the server has not compared yet; the row goes when it has.

    `busy_until` is the next time: later than now while a cycle works at it, the pilot's last word is waited for, or a
    storage server is away.
    """

    attempt = models.OneToOneField(Attempt, models.CASCADE, primary_key=True, related_name="verification")
    since = models.DateTimeField(default=now)
    busy_until = models.DateTimeField(default=EPOCH)
    tries = models.IntegerField(default=0)
    finding = models.TextField(default="")


class OutputQuerySet(models.QuerySet["Output"]):
    def valid(self) -> Self:
        """Select published files that count: neither superseded nor removed."""
        return self.filter(state=OutputState.VALID)

    def supersede(self) -> int:
        """Mark those that count as superseded: their jobs run again, or are merged again."""
        return self.valid().update(state=OutputState.SUPERSEDED)


class Output(models.Model):
    """A file that a successful attempt published."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="outputs")
    attempt = models.ForeignKey(Attempt, models.PROTECT, related_name="outputs")
    kind = models.TextField()
    name = models.TextField()
    url = models.TextField()
    size = models.BigIntegerField()
    adler32 = models.TextField()
    events = models.IntegerField(null=True)
    placeholder = models.BooleanField(default=False)
    """It holds no data: the payload wrote none, and the production's placeholder stands for it."""
    state = models.TextField(default=OutputState.VALID)
    kept = models.TextField(default="")
    """URL of the archived copy of a merged file, once it was verified there."""
    group = models.ForeignKey("production.MergeGroup", models.SET_NULL, null=True, related_name="inputs")
    """The merge that it is an input of: one at most, so that no chunk is merged twice."""

    objects = OutputQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=OutputState.values), name="output_state_is_known"),
            models.UniqueConstraint(
                fields=["job", "name"], condition=models.Q(state=OutputState.VALID), name="output_valid_once"
            ),
        ]
