"""Attempts keep what their jobs publish and where, and sites the key of their agents' files.

The attempts of a task are found by the time of their ends: to count those of a day, all of the task were read.
"""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0017_generated_jobs")]

    operations = [
        migrations.AddField("attempt", "expected_files", models.TextField(default="")),
        migrations.AddIndex("attempt", models.Index(fields=["task", "ended"], name="attempt_by_task")),
        migrations.AlterField(
            "attempt",
            "task",
            models.ForeignKey("production.task", models.PROTECT, related_name="tries", db_index=False),
        ),
        migrations.AddField("site", "agents_key", models.TextField(default="")),
    ]
