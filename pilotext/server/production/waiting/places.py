"""Sites as a waiting job sees them: which of them would take it now, and what keeps the others from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from django.db.models import Aggregate, Count, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value
from django.db.models.functions import Cast, Concat

from pilotext.api.schemas.waits import Changer, Wait, WaitKind
from pilotext.formatting import counted_words
from pilotext.profile.records import STORAGE_BREAKER
from pilotext.profile.records import Experiment as Profile
from pilotext.server.production.cycle.status import SILENT_AFTER_S
from pilotext.server.production.dispatch.agents import GONE_AFTER_S, heard_since
from pilotext.server.production.dispatch.breakers import types_held
from pilotext.server.production.dispatch.placement import Avoid, nodes_of, of_site
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Breaker, CycleStep, Job, Site, Task
from pilotext.server.production.models.task import SiteQuerySet
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import AgentState, BreakerState
from pilotext.server.times import EPOCH, FOREVER, earlier, to_seconds


def wait_for(  # noqa: PLR0917  in the order of the record
    kind: WaitKind, what: str, since: datetime | None, until: datetime | None, who: Changer, how: str
) -> Wait:
    """Return a wait with its points in time as the API has them."""
    return Wait(kind, what, to_seconds(since), to_seconds(until), who, how)


@dataclass(frozen=True)
class JobPlace:
    """A site with what is there now: attempts at work, agents that are heard of, their slots, and pilots."""

    site: Site
    active: int
    busy: int
    """Attempts that agents have."""
    agents: int
    slots: int
    pilots: bool
    last_seen: datetime | None
    """Time of the last message of an agent there, whatever its state."""
    closed_since: datetime | None
    breakers: tuple[Breaker, ...]
    """Open ones for the whole site, those of the experiment included."""
    other_nodes: bool
    """An agent is heard of on a node that the job does not avoid and that no breaker holds."""


def places_of(task: Task, job: Job | None, at: datetime, avoided: Avoid, known: Iterable[Breaker]) -> list[JobPlace]:
    """The sites that may have a job: those of its task, or the only one of its own; by one query.

    `known` are the breakers of the experiment.
    """
    profile = profile_of(task.experiment.name)
    breakers = [row for row in known if job is None or _holds(profile, row, job.type)]
    held = {row.node for row in breakers if row.node}
    kept_off = {node for node, until in nodes_of(avoided).items() if until > at}
    sites = _with_what_is_there(_sites(task, job), at, profile.retry.heard_s, held | kept_off)
    return [
        _place(site, [row for row in breakers if not row.node and row.site_id in (None, site.pk)]) for site in sites
    ]


def _place(site: Site, breakers: Iterable[Breaker]) -> JobPlace:
    """Return the record of a site that was read with its numbers."""
    agents, slots, other_nodes = _numbers(getattr(site, "heard_agents", None))
    same = ("active", "busy", "pilots", "last_seen")
    return JobPlace(
        site=site,
        agents=agents,
        slots=slots,
        closed_since=getattr(site, "closed_since", None) if site.closed else None,
        breakers=tuple(breakers),
        other_nodes=other_nodes > 0,
        **{name: getattr(site, name) for name in same},
    )


def breakers_of(experiment: int) -> QuerySet[Breaker]:
    """Return the breakers of an experiment that are not closed; they are read when somebody needs them, and once."""
    return Breaker.objects.not_closed().filter(experiment=experiment).order_by("pk")


def obstacles(place: JobPlace, avoid: Avoid, at: datetime) -> Iterator[Wait]:
    """Yield the obstacles for a job at this site now; nothing where it can be given out."""
    name = place.site.name
    if place.site.closed:
        why = f"site {name} is closed: {place.site.closed}"
        yield wait_for(
            "site-closed", why, place.closed_since, None, "manager", f"pilotext sites open {quote(name)} --why ..."
        )
    limit = place.site.max_active
    if limit is not None and place.active >= limit:
        why = f"site {name} is full: it has {place.active} of at most {counted_words(limit, 'attempt')}"
        yield wait_for(
            "site-full", why, None, None, "manager", f"pilotext sites limit {quote(name)} --most N --why ..."
        )
    for row in place.breakers:
        if row.state == BreakerState.PROBING or row.due > at:
            yield _breaker(row)
    if (until := avoid.get(of_site(name), EPOCH)) > at:
        why = f"it failed at site {name} and avoids it as long as another site can take it"
        yield wait_for("avoided", why, None, until, "server", "it may go there again by then")
    yield from _nobody(place)


def _nobody(place: JobPlace) -> Iterator[Wait]:
    name = place.site.name
    start = f"start an agent there: pilotext agent --site {quote(name)}"
    if place.pilots:
        return
    if not place.agents:
        why = f"no agent at site {name} is active" + ("" if place.last_seen else ", and none ever was")
        yield wait_for("no-agent", why, place.last_seen, None, "operator", start)
    elif place.busy >= place.slots:
        slots = f"{counted_words(place.slots, 'slot')} of {counted_words(place.agents, 'agent')}"
        why = f"every slot at site {name} is busy: {slots}"
        yield wait_for("agents-busy", why, None, None, "operator", f"a slot becomes free when a job ends; or {start}")
    elif not place.other_nodes:
        why = f"at site {name} agents are active only on nodes that it avoids, or that a breaker holds"
        yield wait_for("avoided", why, None, None, "operator", f"another node is needed; {start}")


def _breaker(row: Breaker) -> Wait:
    what = f"breaker {row.pk} ({row.rule}) has tripped and blocks {row.scope or 'everything'}: {row.why}"
    how = f"pilotext sites close --breaker {row.pk} --why ..."
    if row.state == BreakerState.PROBING:
        return wait_for("breaker", f"{what}; one job tries whether it works again", row.changed, None, "manager", how)
    return wait_for("breaker", what, row.changed, row.due if row.due < FOREVER else None, "manager", how)


def _sites(task: Task, job: Job | None) -> SiteQuerySet:
    sites = Site.objects.filter(experiment=task.experiment_id).order_by("name")
    if job is not None and job.site_id is not None:
        sites = sites.filter(pk=job.site_id)
    elif task.sites:
        sites = sites.filter(name__in=task.sites)
    return sites


def _holds(profile: Profile, row: Breaker, job_type: str) -> bool:
    types = types_held(profile, profile.breakers.get(row.rule))
    return types is None or job_type in types


def _with_what_is_there(
    sites: SiteQuerySet, at: datetime, pilots_heard_s: float, nodes: Collection[str]
) -> SiteQuerySet:
    """Return these sites with the numbers of a JobPlace; agents on other nodes than these are on `other_nodes`."""
    here = OuterRef("pk")
    mine = Agent.objects.filter(site=here).order_by()
    heard = mine.filter(heard_since(earlier(at, GONE_AFTER_S)), state=AgentState.ACTIVE)
    others = Count("pk", filter=~Q(host__in=nodes))
    # By an expression, not the column: SQLite would go through all attempts at the site.
    lately = Attempt.objects.filter(ended__gte=earlier(at, pilots_heard_s), pilot__gt="")
    ended = lately.annotate(there=F("site_id") + 0)
    closed = AuditEntry.objects.filter(subject="site", subject_id=here, after="closed").order_by("-pk")
    by_pilots = Count("at_work", filter=Q(at_work__pilot__gt=""))
    counted = sites.with_attempts_at_work().annotate(
        active=Count("at_work"), busy=Count("at_work__agent"), active_pilots=by_pilots
    )
    return counted.annotate(
        heard_agents=Subquery(
            heard.values("site_id").annotate(numbers=_words(Count("pk"), Sum("slots"), others)).values("numbers")
        ),
        last_seen=Subquery(mine.annotate(last=_of_all("MAX", "seen")).values("last")),
        pilots=Q(active_pilots__gt=0) | Exists(ended.filter(there=here)),
        closed_since=Subquery(closed.values("at")[:1]),
    )


def _words(*numbers: Aggregate) -> Concat:
    """Return numbers of the same rows as one text: PostgreSQL would read the rows again for a subquery of each."""
    return Concat(*(Concat(Cast(each, TextField()), Value(" "), output_field=TextField()) for each in numbers))


def _numbers(words: str | None) -> list[int]:
    """Return the numbers of `_words`; zeros where there were no rows."""
    return [int(each) for each in (words or "0 0 0").split()]


def _of_all(function: str, column: str) -> Func:
    """Return a function of all rows of a subquery, as one value."""
    return Func(F(column), function=function)


def of_cycle(at: datetime) -> Iterator[Wait]:
    """Yield failures of the cycle, which moves everything; nothing while it is alive and no step fails."""
    rows = list(CycleStep.objects.order_by("name"))
    last = max((row.at for row in rows), default=None)
    if last is not None and last < earlier(at, SILENT_AFTER_S):
        how = "start it: pilotext server, or pilotext server cycle"
        yield wait_for("cycle", "the cycle of the server is silent: nothing advances", last, None, "manager", how)
    for row in rows:
        if row.error:
            what = f"step {row.name!r} of the cycle fails: {row.error}"
            yield wait_for("cycle", what, row.failing_since, None, "manager", "the log of the server has the details")


_FOR_STORAGE = {"staging", "verifying", "copying", "cleaning", "archive"}


def with_servers(waits: Sequence[Wait], known: Iterable[Breaker]) -> tuple[Wait, ...]:
    """These reasons, and where one of them is work on storage, every server of the experiment that is away.

    `known` are the breakers of the experiment, which are read only then.
    """
    if not any(wait.kind in _FOR_STORAGE for wait in waits):
        return tuple(waits)
    away = sorted((row for row in known if row.rule == STORAGE_BREAKER), key=lambda row: row.scope)
    return (*waits, *map(_of_server, away))


def _of_server(row: Breaker) -> Wait:
    how = f"the cycle asks it again then, or now: pilotext sites close --breaker {row.pk} --why ..."
    return wait_for("storage-away", f"{row.scope} does not answer: {row.why}", row.since, row.due, "server", how)
