"""Inputs that a task left out, with the reasons; an index for what people did, which is rare among all moves."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0013_notices")]

    operations = [
        migrations.CreateModel(
            "LeftOutInput",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("task", models.ForeignKey("production.task", models.CASCADE, related_name="left_out_inputs")),
                ("file", models.TextField()),
                ("why", models.TextField()),
            ],
        ),
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["id"], name="audit_by_person", condition=models.Q(actor="person")),
        ),
    ]
