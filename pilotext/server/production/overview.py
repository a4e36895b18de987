"""Runs, errors, signatures, sites, agents, the audit trail: counted by index, whatever the number of jobs."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Floor

from pilotext.api.schemas.agents import AgentList, AgentRow
from pilotext.api.schemas.audit import AuditTrail
from pilotext.api.schemas.errors import ErrorList, ErrorRow
from pilotext.api.schemas.rules import SignatureList, SignatureRow
from pilotext.api.schemas.runs import ChunkEvents, RunEvents, RunList, RunPage, RunRow
from pilotext.api.schemas.sites import BreakerRow, SiteList, SiteRow
from pilotext.server.database import spelled_out
from pilotext.server.production import product_lists, waiting
from pilotext.server.production.lists import event_row
from pilotext.server.production.machines.agent import GONE_AFTER_S
from pilotext.server.production.models import Agent, Attempt, Breaker, Event, Job, Product, Signature, Site, Task, Token
from pilotext.server.production.models.common import now
from pilotext.server.production.named import (
    agent_named,
    experiment_named,
    refuse_unknown_code,
    refuse_unknown_run,
    site_named,
    tasks_named,
)
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ACTIVE_ATTEMPT, FAILED_ATTEMPT

HOUR_S, DAY_S = 3600.0, 86400.0
ERROR_FIELDS = {"code": "code", "cause": "cause", "site": "site__name", "task": "task__name", "day": "day"}
MOST_ERRORS = 1000
SIGNED_BY = ("person", "agent", "pilot")
"""Kinds of names in the audit trail, before the colon; parts of the server have none, and lines of old versions."""
MAX_PRODUCTS = 100
MAX_CHUNKS = 100


def runs(task: str, *, run: int | None, state: str | None, after: int, limit: int) -> RunList:
    """A page of the runs of a task; `state` is that of one of its products. Raises RefusalError for no such task."""
    row = tasks_named(task)[0]
    jobs = Job.objects.filter(task=row, product="", run__gt=after)
    if run is not None:
        jobs = jobs.filter(run=run)
    if state is not None:
        jobs = jobs.filter(run__in=Product.objects.filter(task=row, state=state).values("run"))
    numbers = jobs.values_list("run", flat=True).distinct().order_by("run")
    found = [number for number in numbers[: limit + 1] if number is not None]
    if not found and not after and run is not None:
        refuse_unknown_run(run, row)
    page = found[:limit]
    return RunList(tuple(_runs(row, page)), page[-1] if len(found) > limit else None)


def run(task: int, number: int) -> RunPage:
    """A run of a task with why it is not further. Raises RefusalError when there is none."""
    row = Task.objects.select_related("experiment").filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    if number >= 2**31:
        raise RefusalError("not-found", f"there is no run {number}.")
    refuse_unknown_run(number, row)
    (found,) = _runs(row, [number])
    products = product_lists.products(task=None, of_tasks=[row], run=number, limit=MAX_PRODUCTS).products
    return RunPage(found, products, waiting.of_run(row, number), tuple(_odd_chunks(row, number)))


def _odd_chunks(task: Task, number: int) -> Iterator[ChunkEvents]:
    """Chunks that skipped events, or whose events are not as many as the catalogue promises."""
    jobs = Job.objects.filter(task=task, run=number, product="", events_done__isnull=False)
    odd = jobs.filter(Q(events_skipped__gt=0) | ~Q(events_done=F("events")) & Q(events__isnull=False))
    for job in odd.order_by("chunk", "pk")[:MAX_CHUNKS]:
        skipped = job.events_skipped
        processed = None if job.events_done is None or skipped is None else job.events_done - skipped
        yield ChunkEvents(job.pk, job.chunk, job.events, processed, skipped)


def _runs(task: Task, numbers: list[int]) -> Iterator[RunRow]:
    jobs: defaultdict[int | None, dict[str, int]] = defaultdict(dict)
    counted = Job.objects.filter(task=task, run__in=numbers, product="").values_list("run", "state")
    for run, state, number in counted.annotate(Count("pk")):
        jobs[run][state] = number
    products: defaultdict[int, dict[str, str]] = defaultdict(dict)
    findings: defaultdict[int, dict[str, str]] = defaultdict(dict)
    merged: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for product in Product.objects.filter(task=task, run__in=numbers).order_by("pk"):
        products[product.run][product.merge] = product.state
        if product.events is not None:
            merged[product.run][product.merge] = product.events
        if product.finding:
            findings[product.run][product.merge] = product.finding
    events = _events(task, numbers, merged)
    for run in numbers:
        yield RunRow(task.name, run, jobs[run], products[run], findings[run], events[run])


def _events(task: Task, numbers: list[int], merged: Mapping[int, dict[str, int]]) -> dict[int, RunEvents]:
    """The events of these runs, summed up over their chunks."""
    jobs = Job.objects.filter(task=task, run__in=numbers, product="").order_by().values_list("run")
    known = Q(events_done__isnull=False, events_skipped__isnull=False)
    summed = jobs.annotate(
        promised=Sum("events"),
        processed=Sum(F("events_done") - F("events_skipped"), filter=known),
        skipped=Sum("events_skipped"),
        unknown=Count("pk", filter=Q(state="finished") & ~known),
    )
    return {
        run: RunEvents(catalogue, processed, skipped, merged.get(run, {}), unknown)
        for run, catalogue, processed, skipped, unknown in summed
        if run is not None
    }


def errors(
    *, by: Iterable[str], since: float, until: float, task: str | None, site: str | None, code: str | None
) -> ErrorList:
    """Failed attempts of a period, counted by these fields, the most frequent first."""
    fields = list(dict.fromkeys(by))
    rows = Attempt.objects.filter(state__in=spelled_out(FAILED_ATTEMPT), ended__gte=since, ended__lt=until)
    if task is not None:
        rows = rows.filter(task__in=[row.pk for row in tasks_named(task)])
    if site is not None:
        rows = rows.filter(site__in=[site_named(site).pk])
    if code is not None:
        rows = rows.filter(code=code)
    found = tuple(_errors(rows, fields))
    if not found and code is not None:
        refuse_unknown_code(code)
    return ErrorList(found)


def _errors(rows: QuerySet[Attempt], fields: list[str]) -> Iterator[ErrorRow]:
    if "day" in fields:
        rows = rows.annotate(day=Floor(F("ended") / DAY_S))
    # By the numbers of site and task, whose names are put in behind: the index alone is read.
    columns = [{"site": "site_id", "task": "task_id"}.get(field, field) for field in fields]
    counted = (
        rows.order_by().values(*columns).annotate(n=Count("pk"), jobs=Count("job", distinct=True), at=Max("ended"))
    )
    sites = dict(Site.objects.values_list("pk", "name")) if "site" in fields else {}
    found = list(counted.order_by("-n")[:MOST_ERRORS])
    tasks = dict(Task.objects.filter(pk__in={row.get("task_id") for row in found}).values_list("pk", "name"))
    for row in found:
        yield ErrorRow(
            code=row.get("code", ""),
            cause=row["cause"] or "lost" if "cause" in row else "",
            site=sites.get(row.get("site_id"), ""),
            task=tasks.get(row.get("task_id"), ""),
            day=time.strftime("%Y-%m-%d", time.gmtime(row["day"] * DAY_S)) if "day" in row else "",
            attempts=row["n"],
            jobs=row["jobs"],
            last=row["at"],
        )


def signatures(*, experiment: str | None, limit: int) -> SignatureList:
    """The unknown failures that came last."""
    rows = Signature.objects.select_related("experiment").order_by("-last")
    if experiment is not None:
        rows = rows.filter(experiment=experiment_named(experiment))
    found = list(rows[:limit])
    tries = Attempt.objects.filter(signature__in=[row.pk for row in found]).values_list("signature")
    still = {pk: (number, job) for pk, number, job in tries.annotate(Count("pk"), Max("job"))}
    return SignatureList(tuple(_signature(row, *still.get(row.pk, (0, None))) for row in found))


def _signature(row: Signature, still: int, job: int | None) -> SignatureRow:
    same = {name: getattr(row, name) for name in ("signature", "count", "first", "last", "diag", "note")}
    return SignatureRow(experiment=row.experiment.name, open=still, job=job, **same)


def sites() -> SiteList:
    """All sites with what happens there, and all breakers that are not closed."""
    active = dict(
        Attempt.objects.filter(state__in=spelled_out(ACTIVE_ATTEMPT)).values_list("site").annotate(Count("pk"))
    )
    # Counted here: grouped by site or state, SQLite would go through all attempts in the order of those.
    recent = Counter(Attempt.objects.filter(ended__gte=now() - HOUR_S).values_list("site", "state"))
    agents = dict(Agent.objects.filter(state="active").values_list("site").annotate(Count("pk")))
    breakers: defaultdict[int | None, list[BreakerRow]] = defaultdict(list)
    for row in Breaker.objects.filter(state__in=("open", "probing")).order_by("pk"):
        breakers[row.site_id].append(_breaker(row))
    rows = tuple(
        SiteRow(
            site=site.name,
            experiment=site.experiment.name,
            max_active=site.max_active,
            active=active.get(site.pk, 0),
            finished=recent[site.pk, "finished"],
            failed=sum(recent[site.pk, state] for state in FAILED_ATTEMPT),
            agents=agents.get(site.pk, 0),
            closed=site.closed,
            breakers=tuple(breakers[site.pk]),
        )
        for site in Site.objects.select_related("experiment").order_by("experiment", "name")
    )
    return SiteList(rows, tuple(breakers[None]))


def _breaker(row: Breaker) -> BreakerRow:
    same = {name: getattr(row, name) for name in ("rule", "scope", "state", "since", "due", "trips", "why")}
    return BreakerRow(breaker=row.pk, **same)


def agents(*, name: str | None = None, site: str | None, state: str | None, after: int, limit: int) -> AgentList:
    """A page of agents in the order of their ids."""
    rows = Agent.objects.filter(pk__gt=after).select_related("site").order_by("pk")
    if name is not None:
        rows = rows.filter(pk=agent_named(name).pk)
    if site is not None:
        rows = rows.filter(site=site_named(site))
    if state is not None:
        rows = rows.filter(state=state)
    found = list(rows[: limit + 1])
    page = found[:limit]
    busy = Attempt.objects.filter(state__in=spelled_out(ACTIVE_ATTEMPT), agent__in=[row.pk for row in page])
    active = {
        agent: (number, seen) for agent, number, seen in busy.values_list("agent").annotate(Count("pk"), Max("seen"))
    }
    same = ("name", "host", "version", "state", "slots", "registered", "seen", "token")
    at, ended = now(), _ended_tokens({row.token for row in page} - {""})
    told = tuple(
        AgentRow(
            agent=row.pk,
            site=row.site.name,
            active=active.get(row.pk, (0, 0.0))[0],
            silent_since=_silent_since(row, active.get(row.pk, (0, 0.0))[1], at),
            token_ended=ended.get(row.token),
            **{field: getattr(row, field) for field in same},
        )
        for row in page
    )
    return AgentList(told, page[-1].pk if len(found) > limit else None)


def _silent_since(row: Agent, attempts_seen: float, at: float) -> float | None:
    """When an agent, or an attempt that it has, was heard of last; None where that was lately."""
    last = max(row.seen, attempts_seen)
    return last if at - last > GONE_AFTER_S else None


def _ended_tokens(labels: Collection[str]) -> dict[str, float]:
    """Of these labels of agents' tokens, those without a good token any more, and when the last one ended."""
    at, ends = now(), defaultdict(list)
    for row in Token.objects.filter(label__in=labels, role="agent"):
        ends[row.label].append(min(row.revoked or math.inf, row.expires or math.inf))
    return {label: max(points) for label, points in ends.items() if max(points) <= at}


def events(*, task: int | None, who: str | None, before: int | None, limit: int) -> AuditTrail:
    """A page of the audit trail, the newest first; `before` is the number of the event where it goes on."""
    rows = Event.objects.order_by("-pk")
    if task is not None:
        if not Task.objects.filter(pk=task).exists():
            raise RefusalError("not-found", f"there is no task {task}.")
        rows = rows.filter(task=task)
    if who is not None:
        rows = rows.filter(who__in=[who] if ":" in who else [who, *(f"{kind}:{who}" for kind in SIGNED_BY)])
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: limit + 1])
    page = found[:limit]
    return AuditTrail(tuple(event_row(event) for event in page), page[-1].pk if len(found) > limit else None)
