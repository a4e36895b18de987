"""An index for the last job of each task, which PostgreSQL looked for among all jobs."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("production", "0011_points_in_time")]

    operations = [migrations.AddIndex("job", models.Index(fields=["task", "id"], name="job_page_task"))]
