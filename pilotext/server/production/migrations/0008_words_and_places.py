"""Names of the field for the audit trail and for kept reports; the places that a job avoids in a table of their own."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

AT_ONCE = 500


def copy_avoided_places(apps: Any, _: BaseDatabaseSchemaEditor) -> None:
    """Make a row of each place that a job avoids."""
    avoided = apps.get_model("production", "AvoidedPlace")
    jobs = apps.get_model("production", "Job").objects.exclude(avoid={}).order_by("pk")
    rows = (
        avoided(job_id=job, place=place, until=until)
        for job, places in jobs.values_list("pk", "avoid").iterator(AT_ONCE)
        for place, until in places.items()
    )
    avoided.objects.bulk_create(rows, batch_size=AT_ONCE)


class Migration(migrations.Migration):
    dependencies = [("production", "0007_verification")]

    operations = [
        migrations.RenameModel("Event", "AuditEntry"),
        migrations.RenameIndex("auditentry", new_name="audit_by_subject", old_name="event_by_subject"),
        migrations.RenameIndex("auditentry", new_name="audit_by_task", old_name="event_by_task"),
        migrations.RenameModel("Evidence", "AttemptReport"),
        migrations.RenameField("attemptreport", "rejudged", "reclassified"),
        migrations.AlterField(
            "attemptreport",
            "attempt",
            models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="final_report",
                serialize=False,
                to="production.attempt",
            ),
        ),
        migrations.CreateModel(
            name="AvoidedPlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.TextField()),
                ("until", models.FloatField()),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="avoided",
                        to="production.job",
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("job", "place"), name="avoided_place_once")]},
        ),
        migrations.RunPython(copy_avoided_places, migrations.RunPython.noop),
        migrations.RemoveField("job", "avoid"),
    ]
