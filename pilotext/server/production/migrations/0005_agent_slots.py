from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    dependencies: ClassVar = [("production", "0004_waiting")]

    operations: ClassVar[list[Operation]] = [
        migrations.AlterField(
            model_name="attempt",
            name="agent",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="tries",
                to="production.agent",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(fields=["agent", "state"], name="attempt_of_agent"),
        ),
    ]
