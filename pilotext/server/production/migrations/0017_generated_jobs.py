"""Tasks whose jobs read no file say how many there are, and how many events each makes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0016_tape_arrivals")]

    operations = [migrations.AddField("task", "generate", models.JSONField(null=True))]
