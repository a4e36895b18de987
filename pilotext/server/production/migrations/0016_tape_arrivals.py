"""Time when a file came from tape: `online` moves with every check, and is forgotten when the file is given back."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0015_client_certificates")]

    operations = [
        migrations.AddField("stagedfile", "came", models.DateTimeField(null=True)),
        migrations.AddIndex("stagedfile", models.Index(fields=["came"], name="staged_by_arrival")),
    ]
