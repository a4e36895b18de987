"""Factories and their labels."""

from __future__ import annotations

import time

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("production", "0008_words_and_places"),
    ]

    operations = [
        migrations.CreateModel(
            name="Factory",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField(unique=True)),
                ("host", models.TextField(default="")),
                ("version", models.TextField(default="")),
                ("started", models.FloatField(default=time.time)),
                ("seen", models.FloatField(default=time.time)),
            ],
        ),
        migrations.CreateModel(
            name="FactoryLabel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("label", models.TextField()),
                ("system", models.TextField()),
                ("starts", models.TextField()),
                ("slots", models.IntegerField(default=1)),
                ("requested", models.IntegerField(default=0)),
                ("submitted", models.IntegerField(default=0)),
                ("failed", models.IntegerField(default=0)),
                ("queued", models.IntegerField(null=True)),
                ("running", models.IntegerField(null=True)),
                ("message", models.TextField(default="")),
                ("message_at", models.FloatField(default=0.0)),
                (
                    "factory",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="labels",
                        to="production.factory",
                    ),
                ),
                (
                    "site",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="factory_labels", to="production.site"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("factory", "label"), name="factory_label_once")],
            },
        ),
    ]
