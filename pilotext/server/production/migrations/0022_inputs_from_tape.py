"""Each input of a job of several files may come from tape."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0021_several_inputs")]

    operations = [
        migrations.AddField(
            "jobinput",
            "staged_file",
            models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="job_inputs",
                to="production.stagedfile",
            ),
        ),
        migrations.AddIndex(
            "jobinput",
            models.Index(
                fields=["staged_file"],
                name="job_input_by_staged_file",
                condition=models.Q(staged_file__isnull=False),
            ),
        ),
    ]
