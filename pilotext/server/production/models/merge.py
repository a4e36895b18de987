"""Tables of merging and of tape: products of runs, their groups of files, log archives, staged files."""

from __future__ import annotations

from typing import Self

from django.db import models

from pilotext.server.production.models.common import only_states_of
from pilotext.server.production.models.task import Experiment, Job, JobInput, Task
from pilotext.server.production.states import (
    ARCHIVE,
    GROUP,
    PRODUCT,
    STAGED_FILE,
    LogArchiveState,
    MergeGroupState,
    ProductState,
    StagedFileState,
)
from pilotext.server.times import EPOCH, now


class Product(models.Model):
    """One kind of output of one run on its way: merged, cross-checked, archived.

    `merge` is the entry of the profile's merges; `round` counts how often the run was merged anew. `left_out` are the
    ids of jobs that somebody decided to merge without.
    """

    task = models.ForeignKey(Task, models.PROTECT, related_name="products")
    run = models.IntegerField()
    merge = models.TextField()
    state = models.TextField(default=ProductState.WAITING)
    round = models.IntegerField(default=1)
    left_out = models.JSONField(default=list)
    events = models.BigIntegerField(null=True)
    finding = models.TextField(default="")
    busy_until = models.DateTimeField(default=EPOCH)
    """Somebody works at it, or it waits after a failure, until then."""
    tries = models.IntegerField(default=0)
    changed = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            only_states_of(PRODUCT),
            models.UniqueConstraint(fields=["task", "run", "merge"], name="product_once"),
        ]
        indexes = [models.Index(fields=["state"], name="product_by_state")]


class MergeGroup(models.Model):
    """The files that become the merged file `number`, from 0, of a product. Its inputs are the outputs that name it."""

    product = models.ForeignKey(Product, models.PROTECT, related_name="groups")
    round = models.IntegerField()
    number = models.IntegerField()
    state = models.TextField(default=MergeGroupState.OPEN)
    job = models.OneToOneField(Job, models.PROTECT, null=True, related_name="group")
    size = models.BigIntegerField(default=0)
    changed = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            only_states_of(GROUP),
            models.UniqueConstraint(fields=["product", "round", "number"], name="merge_group_once"),
        ]


class StagedFileQuerySet(models.QuerySet["StagedFile"]):
    def needed(self) -> Self:
        """Select files that are on disk, or on their way there."""
        return self.filter(state__in=(StagedFileState.WANTED, StagedFileState.REQUESTED, StagedFileState.ONLINE))

    def read_by(self, **jobs: object) -> Self:
        """Select files that are brought from tape for jobs with these fields."""
        single = Job.objects.filter(staged_file__isnull=False, **jobs)
        of_jobs = {f"job__{name}": value for name, value in jobs.items()}
        several = JobInput.objects.filter(staged_file__isnull=False, **of_jobs)
        return self.filter(pk__in=single.values("staged_file").union(several.values("staged_file")))


class StagedFile(models.Model):
    """A file on tape that jobs need on disk; one row however many jobs need it.

    `request` is the id that the tape system gave, as long as the file has not been given back to it.
    """

    url = models.TextField(unique=True)
    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="staged_files")
    run = models.IntegerField(null=True)
    size = models.BigIntegerField(default=0)
    state = models.TextField(default=StagedFileState.WANTED)
    request = models.TextField(default="")
    tries = models.IntegerField(default=0)
    requested = models.DateTimeField(null=True)
    online = models.DateTimeField(null=True)
    """Time when it was seen on disk last; None while it is not there."""
    came = models.DateTimeField(null=True)
    """Time when it came from tape last; earlier than `requested` while it is asked for again."""
    finding = models.TextField(default="")
    busy_until = models.DateTimeField(default=EPOCH)
    """Somebody works at it, or it waits after a failure, until then."""
    changed = models.DateTimeField(default=now)

    objects = StagedFileQuerySet.as_manager()

    class Meta:
        constraints = [only_states_of(STAGED_FILE)]
        indexes = [
            models.Index(fields=["state", "run"], name="staged_by_state"),
            models.Index(fields=["came"], name="staged_by_arrival"),
        ]


class LogArchive(models.Model):
    """The logs of one run of a task in one file; without a run, the archives of all its runs in one."""

    task = models.ForeignKey(Task, models.PROTECT, related_name="log_archives")
    run = models.IntegerField(null=True)
    state = models.TextField(default=LogArchiveState.WANTED)
    name = models.TextField()
    url = models.TextField(default="")
    size = models.BigIntegerField(default=0)
    adler32 = models.TextField(default="")
    members = models.JSONField(default=list)
    """The files in it: of each its URL, size and adler32."""
    finding = models.TextField(default="")
    busy_until = models.DateTimeField(default=EPOCH)
    tries = models.IntegerField(default=0)
    changed = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            only_states_of(ARCHIVE),
            models.UniqueConstraint(fields=["task", "run"], name="log_archive_once"),
            models.UniqueConstraint(
                fields=["task"], condition=models.Q(run__isnull=True), name="log_archive_of_all_once"
            ),
        ]
