"""A job may have several input files: their number, and a row for each of them."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0020_panda")]

    operations = [
        migrations.AddField("job", "files", models.IntegerField(default=1)),
        migrations.CreateModel(
            name="JobInput",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField()),
                ("file", models.TextField()),
                ("size", models.BigIntegerField(null=True)),
                ("adler32", models.TextField(default="")),
                ("events", models.IntegerField(null=True)),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="inputs",
                        to="production.job",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("job", "number"), name="job_input_number_once")],
            },
        ),
    ]
