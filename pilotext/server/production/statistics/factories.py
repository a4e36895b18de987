"""Factories with their labels, and how their agents ended."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q

from pilotext.api.schemas.factories import FactoryLabelRow, FactoryList, FactoryRow
from pilotext.server.production.dispatch.factories import HEARD_S
from pilotext.server.production.models import Agent, Attempt, Factory, FactoryLabel
from pilotext.server.production.states import AgentState
from pilotext.server.times import DAY_S, earlier, now, record_fields, to_seconds


def list_factories() -> FactoryList:
    """Return all factories that ever reported, those that were heard of last first."""
    at = now()
    factories = list(Factory.objects.order_by("-seen", "pk").prefetch_related("labels__site"))
    labels = [label for factory in factories for label in factory.labels.all()]  # each knows its factory
    ended = _ended_agents({label.pk: f"{label.factory.name}.{label.label}." for label in labels}, at)
    rows = {label.pk: _row(label, *ended[label.pk]) for label in labels}
    return FactoryList(
        tuple(
            FactoryRow(
                factory=each.pk,
                name=each.name,
                host=each.host,
                version=each.version,
                started=to_seconds(each.started),
                seen=to_seconds(each.seen),
                silent=each.seen < earlier(at, HEARD_S),
                labels=tuple(rows[label.pk] for label in sorted(each.labels.all(), key=lambda label: label.label)),
            )
            for each in factories
        )
    )


def _row(label: FactoryLabel, with_job: int, without_job: int) -> FactoryLabelRow:
    same = (
        "label",
        "system",
        "starts",
        "requested",
        "submitted",
        "failed",
        "queued",
        "running",
        "message",
        "message_at",
    )
    return FactoryLabelRow(
        site=label.site.name,
        with_job=with_job,
        without_job=without_job,
        **record_fields(label, same),
    )


def _ended_agents(prefixes: dict[int, str], at: datetime) -> dict[int, tuple[int, int]]:
    """Count the agents of each label that ended within a day, with and without a job; their names tell the label."""
    had_job = Exists(Attempt.objects.filter(agent=OuterRef("pk")))
    ended = Agent.objects.filter(state=AgentState.GONE, seen__gte=earlier(at, DAY_S)).annotate(had_job=had_job)
    counts: dict[str, Count] = {}
    for key, prefix in prefixes.items():
        mine = Q(name__startswith=prefix)
        counts |= {f"with_{key}": Count("pk", filter=mine & Q(had_job=True))}
        counts |= {f"without_{key}": Count("pk", filter=mine & Q(had_job=False))}
    found = ended.aggregate(**counts) if counts else {}
    return {key: (found[f"with_{key}"], found[f"without_{key}"]) for key in prefixes}
