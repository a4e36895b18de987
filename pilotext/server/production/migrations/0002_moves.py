"""Actor of each move, and the time since when a breaker is open."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F


def _since_the_last_change(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """Breakers that are open now: their last change is all that is known."""
    apps.get_model("production", "Breaker").objects.exclude(state="closed").update(since=F("changed"))


class Migration(migrations.Migration):
    dependencies = [("production", "0001_first")]

    operations = [
        migrations.AddField("breaker", "since", models.FloatField(default=0.0)),
        migrations.RunPython(_since_the_last_change, migrations.RunPython.noop),
        migrations.AddField("event", "actor", models.TextField(default="")),
    ]
