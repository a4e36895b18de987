"""Notices: changes of state and many failures that people want to hear of."""

from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0011_points_in_time")]

    operations = [
        migrations.CreateModel(
            "Notice",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.TextField(unique=True)),
                ("kind", models.TextField()),
                ("task", models.ForeignKey("production.task", models.CASCADE, null=True, related_name="notices")),
                ("site", models.ForeignKey("production.site", models.CASCADE, null=True, related_name="notices")),
                ("cause", models.TextField(default="")),
                ("title", models.TextField()),
                ("text", models.TextField(default="")),
                ("page", models.TextField()),
                ("count", models.IntegerField(default=0)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["at"], name="notice_by_time"),
                    models.Index(fields=["kind", "at"], name="notice_by_kind"),
                ]
            },
        )
    ]
