"""Attempts keep what their jobs publish and where, and sites the key of their agents' files."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0017_generated_jobs")]

    operations = [
        migrations.AddField("attempt", "expected_files", models.TextField(default="")),
        migrations.AddField("site", "agents_key", models.TextField(default="")),
    ]
