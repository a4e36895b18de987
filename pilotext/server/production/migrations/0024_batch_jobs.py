"""Attempts keep the batch job of their pilot, and how the batch system says that their batch job has ended."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0023_event_ranges")]

    operations = [
        migrations.AddField("attempt", "batch_job", models.TextField(default="")),
        migrations.AddField("attempt", "batch_end", models.TextField(default="")),
    ]
