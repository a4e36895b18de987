"""Several jobs may process ranges of the events of one file."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0022_inputs_from_tape")]

    operations = [
        migrations.AddField("job", "event_range", models.IntegerField(default=0)),
        migrations.RemoveConstraint("job", "job_input_once"),
        migrations.AddConstraint(
            "job",
            models.UniqueConstraint(fields=["task", "product", "file", "event_range"], name="job_input_once"),
        ),
    ]
