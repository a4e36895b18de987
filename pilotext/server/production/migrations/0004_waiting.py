import json
import time
from typing import Any

from django.db import migrations, models
from django.db.models import F

AT_ONCE = 500
MOST_EVENTS = 2**31 - 1


def count_skipped(apps: Any, _schema: object) -> None:
    """Fill `events_skipped` of jobs that have finished from the reports that are kept of them."""
    Job = apps.get_model("production", "Job")
    Evidence = apps.get_model("production", "Evidence")
    kept = Evidence.objects.filter(
        attempt__state="finished",
        attempt__job__state="finished",
        attempt__job__events_done__isnull=False,
        attempt__number=F("attempt__job__attempts"),
    ).order_by("attempt_id")
    last = 0
    while page := list(
        kept.filter(attempt_id__gt=last).values_list("attempt_id", "attempt__job_id", "report")[:AT_ONCE]
    ):
        for attempt, job, report in page:
            skipped = json.loads(report)["verdict"].get("counters", {}).get("events_skipped", 0)
            if 0 <= skipped <= MOST_EVENTS:
                Job.objects.filter(pk=job).update(events_skipped=int(skipped))
            last = attempt


class Migration(migrations.Migration):
    dependencies = [
        ("production", "0003_published_names"),
    ]

    operations = [
        migrations.CreateModel(
            name="CycleStep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField(unique=True)),
                ("at", models.FloatField(default=time.time)),
                ("failing_since", models.FloatField(null=True)),
                ("error", models.TextField(default="")),
            ],
        ),
        migrations.AddField(
            model_name="agent",
            name="token",
            field=models.TextField(default=""),
        ),
        migrations.AddField(
            model_name="job",
            name="events_skipped",
            field=models.IntegerField(null=True),
        ),
        migrations.RunPython(count_skipped, migrations.RunPython.noop),
    ]
