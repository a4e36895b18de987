"""Tasks whose inputs are the published outputs of another task."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0018_expected_files")]

    operations = [
        migrations.AddField("task", "input_kind", models.TextField(default="")),
        migrations.AddField("task", "input_merged", models.BooleanField(default=False)),
        migrations.AddField("task", "inputs_seen", models.DateTimeField(null=True)),
        migrations.AddField("task", "inputs_missing", models.TextField(default="")),
        migrations.AddField(
            "job",
            "source",
            models.ForeignKey("production.output", models.PROTECT, null=True, related_name="readers", db_index=False),
        ),
        migrations.AddIndex(
            "job",
            models.Index(fields=["source"], name="job_by_source", condition=models.Q(source__isnull=False)),
        ),
    ]
