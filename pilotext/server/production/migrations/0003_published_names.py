from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from pilotext.server.production.submission.naming import key_of

AT_ONCE = 5000


def name_what_is_there(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """Give every file that was published so far to the task that published it last: its file is the one that is there.

    Names that running tasks have not published yet are theirs when `pilotext server` starts: the profile knows them.
    """
    published = apps.get_model("production", "PublishedFile")
    some: dict[int, Any] = {}
    for url, task, job in _files(apps):
        some.setdefault(key := key_of(url), published(key=key, task_id=task, job=job))
        if len(some) >= AT_ONCE:
            published.objects.bulk_create(some.values(), ignore_conflicts=True)
            some.clear()
    published.objects.bulk_create(some.values(), ignore_conflicts=True)


def _files(apps: Apps) -> Iterator[tuple[str, int, int | None]]:
    outputs = apps.get_model("production", "Output").objects.order_by("-pk")
    rows = outputs.values_list("url", "kept", "job__task_id", "job_id", "job__product")
    for url, kept, task, job, product in rows.iterator(AT_ONCE):
        if url:
            yield url, task, None if product else job
        if kept and kept != url:
            yield kept, task, None
    archives = apps.get_model("production", "LogArchive").objects.exclude(url="").order_by("-pk")
    for url, task in archives.values_list("url", "task_id"):
        yield url, task, None


class Migration(migrations.Migration):
    dependencies = [
        ("production", "0002_moves"),
    ]

    operations = [
        migrations.AddField(
            model_name="task",
            name="names",
            field=models.IntegerField(null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="replaces",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="successor",
                to="production.task",
            ),
        ),
        migrations.CreateModel(
            name="PublishedFile",
            fields=[
                ("key", models.BigIntegerField(primary_key=True, serialize=False)),
                ("job", models.BigIntegerField(null=True)),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="production.task",
                    ),
                ),
            ],
        ),
        migrations.RunPython(name_what_is_there, migrations.RunPython.noop),
    ]
