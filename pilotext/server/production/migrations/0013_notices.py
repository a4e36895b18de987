"""Notices: changes of state and many failures that people want to hear of, and which of them were sent where."""

from __future__ import annotations

from datetime import UTC, datetime

import django.utils.timezone
from django.db import migrations, models

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [("production", "0012_last_jobs")]

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
        ),
        migrations.CreateModel(
            "NoticeChannel",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField(unique=True)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("busy_until", models.DateTimeField(default=EPOCH)),
                ("tries", models.IntegerField(default=0)),
                ("error", models.TextField(default="")),
                ("failed", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "NoticeDelivery",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "notice",
                    models.ForeignKey("production.notice", models.CASCADE, related_name="deliveries", db_index=False),
                ),
                (
                    "channel",
                    models.ForeignKey("production.noticechannel", models.CASCADE, related_name="deliveries"),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=["notice", "channel"], name="notice_sent_once")]},
        ),
    ]
