from __future__ import annotations

from django.db import models

from pilotext.server.production.models.task import Task


class PublishedFile(models.Model):
    """The owner of a published name: only its task writes, replaces or removes the file of this name.

    `key` stands for the URL (`submission.naming.key_of`). `job` is the production job whose output it is; merged files,
    their copies for good and archives of logs belong to the task as a whole. There are several names a job: the table
    has no other index, and the ids are not checked by the database, since neither tasks nor jobs are ever deleted.
    """

    key = models.BigIntegerField(primary_key=True)
    task = models.ForeignKey(Task, models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+")
    job = models.BigIntegerField(null=True)
