"""Attempts that run as jobs of a PanDA server keep its numbers of their task and job."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0019_chains")]

    operations = [
        migrations.AddField("attempt", "panda_task", models.BigIntegerField(null=True)),
        migrations.AddField("attempt", "panda_job", models.BigIntegerField(null=True)),
        migrations.AddIndex(
            "attempt",
            models.Index(
                fields=["task", "panda_task"],
                name="attempt_by_panda",
                condition=models.Q(panda_task__isnull=False),
            ),
        ),
    ]
