"""Hourly statistics; of tasks the year, period and submitter, of attempts the numbers of their reports, which are read
for it once."""

from __future__ import annotations

import json
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from pilotext.server.production.reports.usage import COLUMNS, columns_of_kept
from pilotext.server.production.submission.labels import described_by

AT_ONCE = 500


def label_tasks(apps: Any, _: BaseDatabaseSchemaEditor) -> None:
    """Name the year, the period and the submitter of each task; the trail of the oldest ones tells no submitter."""
    entries = apps.get_model("production", "AuditEntry").objects.filter(subject="task", before="").order_by("-pk")
    who = dict(entries.values_list("subject_id", "who"))
    for task in apps.get_model("production", "Task").objects.only("parameters").iterator(AT_ONCE):
        labels = described_by(task.parameters, who.get(task.pk, ""))
        type(task).objects.filter(pk=task.pk).update(**labels)


def read_reports(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    """Copy the numbers of each kept report to its attempt, unless the report was too late to count."""
    kept = apps.get_model("production", "AttemptReport").objects.filter(late=False).order_by("pk")
    numbers = ", ".join(f"{name} = %s" for name in COLUMNS)
    last = 0
    while rows := list(kept.filter(pk__gt=last).values_list("pk", "report")[:AT_ONCE]):
        found = ((*_values(columns_of_kept(report)), pk) for pk, report in rows)
        with editor.connection.cursor() as cursor:
            cursor.executemany(f"UPDATE production_attempt SET {numbers} WHERE id = %s", list(found))  # noqa: S608
        last = rows[-1][0]


def _values(columns: dict[str, Any]) -> list[Any]:
    return [json.dumps(value) if isinstance(value, list) else value for value in columns.values()]


class Migration(migrations.Migration):
    dependencies = [("production", "0009_factories")]

    operations = [
        *(
            migrations.AddField("attempt", name, models.FloatField(null=True))
            for name in ("wall_s", "cpu_s", "peak_memory_mb")
        ),
        migrations.AddField("attempt", "events", models.BigIntegerField(null=True)),
        migrations.AddField("attempt", "transfers", models.JSONField(null=True)),
        migrations.AddField("task", "year", models.IntegerField(null=True)),
        migrations.AddField("task", "period", models.TextField(default="")),
        migrations.AddField("task", "submitter", models.TextField(default="")),
        migrations.AddIndex("attempt", models.Index(fields=["leased"], name="attempt_by_lease")),
        migrations.AddIndex("task", models.Index(fields=["year", "period"], name="task_by_period")),
        migrations.CreateModel(
            name="HourlyAttempts",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.IntegerField()),
                ("state", models.TextField()),
                ("cause", models.TextField(default="")),
                ("attempts", models.IntegerField()),
                ("wall_s", models.FloatField(default=0.0)),
                ("cpu_s", models.FloatField(default=0.0)),
                ("peak_memory_mb", models.FloatField(default=0.0)),
                ("events", models.BigIntegerField(default=0)),
                (
                    "site",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="production.site",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="production.task",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "task", "site", "state", "cause"), name="hourly_attempts_once"
                    )
                ]
            },
        ),
        migrations.CreateModel(
            name="HourlyTransfers",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.IntegerField()),
                ("storage", models.TextField()),
                ("direction", models.TextField()),
                ("files", models.IntegerField()),
                ("bytes", models.BigIntegerField()),
                ("seconds", models.FloatField()),
                (
                    "site",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="production.site",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "site", "storage", "direction"), name="hourly_transfers_once"
                    )
                ]
            },
        ),
        migrations.RunPython(label_tasks, migrations.RunPython.noop),
        migrations.RunPython(read_reports, migrations.RunPython.noop),
    ]
