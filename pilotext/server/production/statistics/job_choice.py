"""Choices of jobs, and the numbers of the chosen jobs by their attributes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, QuerySet

from pilotext.api.schemas.jobs import JobFilter
from pilotext.server.database import spelled_out
from pilotext.server.production.lookup import tasks_named
from pilotext.server.production.models import Agent, Attempt, Job, Site
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import from_seconds

NOTHING = spelled_out([""])[0]

SEVERAL = ("state", "code", "cause", "product")
"""Fields of jobs of which a choice may have several, separated by commas."""

INDEXED_WITHOUT_EMPTY = ("code", "cause", "product", "assigned")

MAX_COUNTED = 1000
"""Chosen jobs whose attributes are counted, the newest."""

MAX_NUMBERS = 1000
"""Jobs that a choice may name by number."""

UNPRINTED = "\N{REPLACEMENT CHARACTER}"
_PRINTED = "!-~"
_NUMBER = re.compile("[0-9]+")


@dataclass(frozen=True)
class LastAttempt:
    """Place and rule of the last attempt of a job."""

    site: str
    node: str
    rule: str


def choose_jobs(asked: JobFilter) -> QuerySet[Job]:
    """The jobs of a choice. Raises RefusalError for a task that there is not, and for numbers that are none.

    Whoever finds nothing by it lets `refuse_unknown` look at its other names.
    """
    rows: QuerySet[Job] = Job.objects.all()
    for name in (*SEVERAL, "run", "assigned"):
        if (value := getattr(asked, name)) is not None:
            rows = _with(rows, name, value)
            if name in INDEXED_WITHOUT_EMPTY and all(str(value).split(",")):
                rows = rows.filter(**{f"{name}__gt": NOTHING})  # says nothing new, but in the words of the index
    if asked.task is not None:  # by number, which the indexes begin with
        rows = rows.filter(task__in=[row.pk for row in tasks_named(asked.task)])
    if asked.signature is not None:
        rows = rows.filter(pk__in=Attempt.objects.filter(signature__signature=asked.signature).values("job"))
    if asked.job is not None:
        rows = rows.filter(pk__in=_numbers(asked.job))
    if asked.message is not None:
        rows = rows.filter(diag__regex=_pattern(asked.message))
    if asked.changed_since is not None:
        rows = rows.filter(changed__gte=from_seconds(asked.changed_since))
    if asked.changed_until is not None:
        rows = rows.filter(changed__lt=from_seconds(asked.changed_until))
    return _by_last_attempt(rows, asked)


def without_numbers(text: str) -> str:
    """Return a message with `#` for each number: equal for the same failure of other events, runs and sizes.

    Each character that does not print is UNPRINTED, so that pages can hold the message.
    """
    plain = _NUMBER.sub("#", text)
    return plain if plain.isprintable() else "".join(sign if sign.isprintable() else UNPRINTED for sign in plain)


def last_attempts(jobs: Iterable[int]) -> dict[int, LastAttempt]:
    """Return the last attempts of these jobs, by the number of the job; none for those that had no attempt."""
    tries = Attempt.objects.filter(job__in=list(jobs), number=F("job__attempts"))
    rows = tries.values_list("job_id", "site__name", "node", "rule")
    return {job: LastAttempt(site, node, rule) for job, site, node, rule in rows}


def count_attributes(chosen: QuerySet[Job], names: Sequence[str]) -> tuple[dict[str, Counter[str]], bool]:
    """Return the numbers of chosen jobs by the values of these attributes, and whether they are of all of them.

    The attributes are columns of the job, `task`, or `site`, `node` and `rule` of its last attempt. Of more than
    MAX_COUNTED jobs, the newest are counted.
    """
    of_job = [name for name in names if name not in ("site", "node", "rule")]
    columns = ["task__name" if name == "task" else name for name in of_job]
    found = list(chosen.order_by("-pk").values_list("pk", *columns)[: MAX_COUNTED + 1])
    counted = found[:MAX_COUNTED]
    counts = {
        name: Counter("" if row[place] is None else str(row[place]) for row in counted)
        for place, name in enumerate(of_job, 1)
    }
    if of_attempt := [name for name in names if name not in of_job]:
        last, none = last_attempts(row[0] for row in counted), LastAttempt("", "", "")
        counts |= {name: Counter(getattr(last.get(row[0], none), name) for row in counted) for name in of_attempt}
    return counts, len(found) <= MAX_COUNTED


def _with(rows: QuerySet[Job], name: str, value: str | int) -> QuerySet[Job]:
    several = value.split(",") if isinstance(value, str) and name in SEVERAL else [value]
    return rows.filter(**{name: several[0]} if len(several) == 1 else {f"{name}__in": several})


def _by_last_attempt(rows: QuerySet[Job], asked: JobFilter) -> QuerySet[Job]:
    here = (asked.site, asked.node, asked.agent)
    if all(value is None for value in (*here, asked.rule)):
        return rows
    last = Attempt.objects.filter(job=OuterRef("pk"), number=OuterRef("attempts"))
    if asked.site is not None:
        names = asked.site.split(",")
        last = last.filter(site__in=list(Site.objects.filter(name__in=names).values_list("pk", flat=True)))
    if asked.node is not None:
        last = last.filter(node__in=asked.node.split(","))
    if asked.agent is not None:
        names = asked.agent.split(",")
        last = last.filter(agent__in=list(Agent.objects.filter(name__in=names).values_list("pk", flat=True)))
    if asked.rule == "":  # also those that had no attempt
        rows = rows.filter(~Exists(last.exclude(rule="")))
    elif asked.rule is not None:
        last = last.filter(rule__in=asked.rule.split(","))
    anywhere = all(value is None for value in here)
    return rows if anywhere and asked.rule == "" else rows.filter(Exists(last))


def _numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise RefusalError("invalid", f"jobs are named by numbers, separated by commas; found {text!r:.60}.")
    if len(words) > MAX_NUMBERS:
        raise RefusalError("invalid", f"a choice names at most {MAX_NUMBERS} jobs by number; found {len(words)}.")
    return [int(word) for word in words]


def _pattern(message: str) -> str:
    """Return the pattern of a message without numbers, in what SQLite's and PostgreSQL's expressions have in common."""
    escaped = re.escape(message).replace(re.escape("#"), "(?:[0-9]+|#)")
    return f"^{escaped.replace(UNPRINTED, f'(?:[^{_PRINTED}]|{UNPRINTED})')}$"
