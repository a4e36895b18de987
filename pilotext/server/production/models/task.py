"""Tables of experiments, sites, tasks with their jobs and left-out inputs, and owners of published files."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models

from pilotext.server.production.models.common import only_states_of
from pilotext.server.production.states import ACTIVE_ATTEMPT, JOB, OPEN_JOB, TASK, JobState, TaskState
from pilotext.server.times import EPOCH, now


class Experiment(models.Model):
    """An experiment whose profile this server has used."""

    name = models.TextField(unique=True)
    number = models.IntegerField()


class SiteQuerySet(models.QuerySet["Site"]):
    def with_attempts_at_work(self) -> Self:
        """Join to each site its attempts that may still report, as `at_work`, to count them for all sites at once.

        A subquery for each site has PostgreSQL read the attempts of all sites each time.
        """
        at_work = models.FilteredRelation("tries", condition=models.Q(tries__state__in=ACTIVE_ATTEMPT))
        return self.annotate(at_work=at_work)


class Site(models.Model):
    """A queue. `max_active` bounds the attempts there at once; a closed one gets no jobs, and says why."""

    name = models.TextField(unique=True)
    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="sites")
    max_active = models.IntegerField(null=True)
    staging = models.BooleanField(default=True)
    merging = models.TextField(default="")
    closed = models.TextField(default="")
    agents_key = models.TextField(default="")
    """Secret with which its agents seal the files on their nodes; empty until one asks for it."""

    objects = SiteQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_active__isnull=True) | models.Q(max_active__gte=0),
                name="site_limit_not_negative",
            )
        ]


class TaskQuerySet(models.QuerySet["Task"]):
    def running_of(self, experiment: int) -> Self:
        """Select tasks of an experiment whose jobs are given out."""
        return self.filter(state=TaskState.RUNNING, experiment_id=experiment)

    def chained(self) -> Self:
        """Select tasks whose inputs are the published outputs of their parent."""
        return self.exclude(input_kind="")


class Task(models.Model):
    """A task of a manager. `document` is the task file, `digest` is equal for two that ask for the same."""

    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="tasks")
    name = models.TextField()
    type = models.TextField()
    state = models.TextField(default=TaskState.DRAFT)
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    """The task whose outputs it reads; where `input_kind` is empty, only a record of it."""
    input_kind = models.TextField(default="")
    """Kind of the outputs of its parent that are its inputs; empty for a task that names its inputs itself."""
    input_merged = models.BooleanField(default=False)
    """Its inputs are the merged files of that kind."""
    inputs_seen = models.DateTimeField(null=True)
    """`changed` of its parent when that had ended and all its outputs had been taken: no more will come."""
    inputs_missing = models.TextField(default="")
    """The part of its inputs that its parent did not deliver until then, in words; empty where nothing is missing."""
    replaces = models.OneToOneField("self", models.PROTECT, null=True, related_name="successor")
    """The task whose names it took over. That one has ended, and publishes and removes nothing any more."""
    names = models.IntegerField(null=True)
    """Number of published names that it got at its submission; None: it is older than the owners of names."""
    parameters = models.JSONField(default=dict)
    year = models.IntegerField(null=True)
    """Year of data taking, of its parameters; so is `period`."""
    period = models.TextField(default="")
    submitter = models.TextField(default="")
    """Name of the person who submitted it."""
    environment = models.JSONField(default=dict)
    generate = models.JSONField(null=True)
    """Description of its jobs, where they read no file (`profile.job_builder.Generate`)."""
    sites = models.JSONField(default=list)
    """Names of the sites where it may run; empty: all of its experiment."""
    priority = models.IntegerField(default=0)
    """Added to the priority of the job's type."""
    share = models.FloatField(default=1.0)
    staging = models.BooleanField(default=False)
    """Its inputs are brought from tape to disk before its jobs are given out."""
    max_attempts = models.IntegerField(default=5)
    document = models.JSONField(default=dict)
    digest = models.TextField()
    note = models.TextField(default="")
    created = models.DateTimeField(default=now)
    changed = models.DateTimeField(default=now)

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            only_states_of(TASK),
            models.UniqueConstraint(fields=["experiment", "name"], name="task_name_once"),
            models.CheckConstraint(condition=models.Q(share__gt=0), name="task_share_positive"),
            models.CheckConstraint(condition=models.Q(max_attempts__gte=1), name="task_attempts_positive"),
        ]
        indexes = [
            models.Index(fields=["state"], name="task_by_state"),
            models.Index(fields=["year", "period"], name="task_by_period"),
        ]


class LeftOutInput(models.Model):
    """An input of a task that makes no job, and the reason."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="left_out_inputs")
    file = models.TextField()
    why = models.TextField()


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> Self:
        """Select jobs that may still be run, or wait for a decision."""
        return self.filter(state__in=OPEN_JOB)

    def due(self, at: datetime) -> Self:
        """Select jobs that may be given out at this point in time."""
        return self.filter(state=JobState.READY, not_before__lte=at)

    def chunks(self, task: Task | int | models.OuterRef, run: int | models.OuterRef | None) -> Self:
        """Select the production jobs of a run, without its merge jobs."""
        return self.filter(task=task, run=run, product="")


class Job(models.Model):
    """One piece of work: of input files of one run (`product` empty), or the merge of one group of files.

    `charged` counts the attempts that used up one of the task's `max_attempts`; `attempts` counts all. `code`, `cause`
    and `diag` are those of the last verdict.
    """

    task = models.ForeignKey(Task, models.PROTECT, related_name="jobs")
    type = models.TextField()
    product = models.TextField(default="")
    file = models.TextField()
    files = models.IntegerField(default=1)
    """Number of its input files. Several are `JobInput`s: `file` is the first, `size` and `events` are sums."""
    run = models.IntegerField(null=True)
    chunk = models.IntegerField(null=True)
    event_range = models.IntegerField(default=0)
    """Number, from 1, of the range of the events of its file that it processes, of `events` events; 0: all."""
    state = models.TextField(default=JobState.READY)
    site = models.ForeignKey(Site, models.PROTECT, null=True, related_name="jobs")
    """The only site where it may run; None: where its task may."""
    staged_file = models.ForeignKey(
        "production.StagedFile", models.SET_NULL, null=True, related_name="jobs", db_index=False
    )
    """The file that is brought from tape for it; empty for a job of several files, whose inputs have one each."""
    source = models.ForeignKey("production.Output", models.PROTECT, null=True, related_name="readers", db_index=False)
    """The output of another task that is its input; `file`, `size`, `adler32` and `events` are copies of its facts."""
    priority = models.IntegerField(default=1000)
    not_before = models.DateTimeField(default=EPOCH)
    attempts = models.IntegerField(default=0)
    charged = models.IntegerField(default=0)
    since = models.IntegerField(default=0)
    """The attempts up to this number were before somebody sent the job anew: the policy counts those after it."""
    assigned = models.TextField(default="")
    """Name of the person who investigates it, while it waits for a decision."""
    memory_mb = models.FloatField(null=True)
    size = models.BigIntegerField(null=True)
    adler32 = models.TextField(default="")
    events = models.IntegerField(null=True)
    """Events that the catalogue promises; of a range, its own."""
    events_done = models.IntegerField(null=True)
    """Events that the payload went through, skipped ones included, by its last successful attempt."""
    events_skipped = models.IntegerField(null=True)
    """Those of them that the payload skipped."""
    code = models.TextField(default="")
    cause = models.TextField(default="")
    diag = models.TextField(default="")
    created = models.DateTimeField(default=now)
    changed = models.DateTimeField(default=now)

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = [
            only_states_of(JOB),
            models.UniqueConstraint(fields=["task", "product", "file", "event_range"], name="job_input_once"),
        ]
        indexes = [
            models.Index(fields=["task", "state", "product"], name="job_by_task_state"),
            models.Index(fields=["task", "run", "product"], name="job_by_run"),
            # Dispatch reads this one, in its order. SQLite would rather sort than take it for the ready ones only.
            models.Index(fields=["task", "state", "-priority", "id"], name="job_ready"),
            # Pages of lists are read in the order of the ids; each index is for one way to choose.
            models.Index(fields=["task", "state", "id"], name="job_page_task_state"),
            # The last job of a task: without it PostgreSQL goes through all jobs, the newest first, until one is of it.
            models.Index(fields=["task", "id"], name="job_page_task"),
            models.Index(fields=["run", "id"], name="job_page_run"),
            models.Index(fields=["cause", "id"], name="job_page_cause", condition=models.Q(cause__gt="")),
            models.Index(fields=["assigned", "id"], name="job_page_assigned", condition=models.Q(assigned__gt="")),
            models.Index(
                fields=["product", "state", "id"], name="job_page_product", condition=models.Q(product__gt="")
            ),
            models.Index(
                fields=["staged_file"], name="job_by_staged_file", condition=models.Q(staged_file__isnull=False)
            ),
            models.Index(fields=["source"], name="job_by_source", condition=models.Q(source__isnull=False)),
            models.Index(fields=["state", "id"], name="job_by_state"),
            # SQLite takes it only for queries that say `code > ''`, too.
            models.Index(fields=["code", "id"], name="job_by_code", condition=models.Q(code__gt="")),
        ]


class JobInput(models.Model):
    """One of several input files of a job, by its `number` in their order, from 1. A job of one file has none."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="inputs", db_index=False)
    number = models.IntegerField()
    file = models.TextField()
    size = models.BigIntegerField(null=True)
    adler32 = models.TextField(default="")
    events = models.IntegerField(null=True)
    staged_file = models.ForeignKey(
        "production.StagedFile", models.SET_NULL, null=True, related_name="job_inputs", db_index=False
    )
    """The file as it is brought from tape for the job, whose own `staged_file` is empty then."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_input_number_once")]
        indexes = [
            models.Index(
                fields=["staged_file"], name="job_input_by_staged_file", condition=models.Q(staged_file__isnull=False)
            )
        ]


class PublishedFile(models.Model):
    """The owner of a published name: only its task writes, replaces or removes the file of this name.

    `key` stands for the URL (`submission.naming.key_of`). `job` is the production job whose output it is; merged files,
    their copies for good and archives of logs belong to the task as a whole. There are several names a job: the table
    has no other index, and the ids are not checked by the database, since neither tasks nor jobs are ever deleted.
    """

    key = models.BigIntegerField(primary_key=True)
    task = models.ForeignKey(Task, models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+")
    job = models.BigIntegerField(null=True)


class AvoidedPlace(models.Model):
    """A node, or a site as `site:NAME`, that does not get a job before the point in time `until`."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="avoided", db_index=False)
    place = models.TextField()
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "place"], name="avoided_place_once")]
