"""The counters on the pages of a whole production are those of the database."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from tests.end_to_end.reader import (
    Reader,
    counts_of,
    number_of,
    table_of,
    tiles_of,
)
from tests.end_to_end.whole_production import Production
from tests.server.pages.browsing import BY

from django.db.models import Q, QuerySet  # isort: skip  needs the boot
from django.contrib.auth.models import User  # isort: skip  needs the boot
from pilotext.server.production.access.people import make_groups, set_user  # isort: skip  needs the boot
from pilotext.server.production.models import (  # isort: skip  needs the boot
    Attempt,
    Breaker,
    Job,
    Site,
    Task,
)
from pilotext.server.production.states import JOB  # isort: skip  needs the boot

T = TypeVar("T")
Counts = dict[str, int]
TaskLine = tuple[str, int | None, Counts, Counts]
"""State, production jobs, and production jobs and merges by state."""

Failures = tuple[list[int], list[tuple[str, str, int | None, int | None]]]
"""Attempts of each line of a table of failures, and the lines that are not those of the database."""

FAILED = ("failed", "lost")
ENDED = ("finished", "failed", "cancelled", "manual")
SINGULAR = {
    "job running": "jobs running",
    "job ready": "jobs ready",
    "job to decide": "jobs to decide",
    "site closed": "sites closed",
    "breaker tripped": "breakers tripped",
}
NAME, PASSWORD = "vera", "correct horse battery"
MAX_LOOKS = 20


def viewer_of(production: Production) -> Reader:
    """Return somebody with the role of a viewer, who is made where there is none yet."""
    if not User.objects.filter(username=NAME).exists():
        make_groups()
        set_user(NAME, "viewer", BY, PASSWORD)
    return Reader(production.server.url, NAME, PASSWORD)


def counters_equal_the_database(production: Production) -> None:
    """The overview, the tasks, the periods and the lists of jobs count what there is."""
    viewer = viewer_of(production)
    equal(lambda: _overview(viewer), _known_overview)
    listed = "/tasks", "/tasks?state=cancelled", "/tasks?state=archived"
    equal(lambda: _lines(*map(viewer.read, listed)), lambda: _known_lines(Task.objects.all()))
    equal(lambda: table_of(viewer.read("/periods"), "Periods with"), _known_periods)
    equal(lambda: _jobs(viewer), _known_jobs)
    for task in Task.objects.all():
        _task_equals_the_database(viewer, task)


def _task_equals_the_database(viewer: Reader, task: Task) -> None:
    tries = Attempt.objects.filter(task=task)

    def shown() -> tuple[Counts, list[int], Failures]:
        text = viewer.read(f"/tasks/{task.pk}")
        tiles = {state: number for state, number in tiles_of(text).items() if number}
        sentence = re.search(r'class="sub">(?:(\d+) jobs open|Every job has ended).* (\d+) succeeded', text)
        assert sentence is not None
        return tiles, [int(number or 0) for number in sentence.groups()], _failures(text, tries)

    def known() -> tuple[Counts, list[int], Failures]:
        jobs = Job.objects.filter(task=task)
        open_jobs = jobs.exclude(state__in=("finished", "failed", "cancelled")).count()
        pace = [open_jobs, tries.filter(state="finished").count()]
        return _by_state(jobs.filter(product="")), pace, _known_failures(tries, 5)

    equal(shown, known)


def equal(shown: Callable[[], T], known: Callable[[], T]) -> None:
    """Compare what a page shows with the database; once more where that has changed meanwhile."""
    for _ in range(MAX_LOOKS):
        before, found = known(), shown()
        if before == known():
            assert found == before, f"the pages show {found}, and there is {before}"
            return
    raise AssertionError(f"the database changed during each of {MAX_LOOKS} looks at a page")


def _by_state(jobs: Iterable[Job]) -> Counts:
    return dict(Counter(job.state for job in jobs))


# ------------------------------------------------------------------------------------------------ tasks and overview


def _overview(viewer: Reader) -> tuple[Counts, dict[str, TaskLine], Failures]:
    text = viewer.read("/")
    tiles = {SINGULAR.get(words, words): number for words, number in tiles_of(text).items()}
    if waiting := re.search(r">(\d+) jobs? waits? for a decision<", text):
        tiles["jobs that need attention"] = int(waiting[1])
    return tiles, _lines(text), _failures(text, Attempt.objects.all())


def _known_overview() -> tuple[Counts, dict[str, TaskLine], Failures]:
    jobs = _by_state(Job.objects.exclude(task__state__in=("archived", "cancelled")))
    failed = Attempt.objects.filter(state__in=FAILED)
    tiles = {
        "jobs running": jobs.get("running", 0),
        "jobs ready": jobs.get("ready", 0),
        "jobs to decide": jobs.get("manual", 0),
        "failed in 24 hours": failed.count(),
        "sites closed": Site.objects.exclude(closed="").count(),
        "breakers tripped": Breaker.objects.filter(state__in=("open", "probing")).count(),
    }
    waiting = jobs.get("manual", 0)
    tiles |= {"jobs that need attention": waiting} if waiting else {}
    with_jobs = Job.objects.filter(state__in=("running", "ready", "manual")).values("task")
    of_states = Q(state__in=("draft", "running", "paused", "ready", "archiving")) | Q(pk__in=with_jobs)
    at_work = Task.objects.filter(of_states).exclude(state__in=("archived", "cancelled"))
    return tiles, _known_lines(at_work), _known_failures(failed, 10)


def _lines(*texts: str) -> dict[str, TaskLine]:
    """Return what the table of tasks says, from pages that may have none."""
    rows = [row for text in texts if "No task here." not in text for row in table_of(text, "Tasks with")]
    return {row["Task"]: _line(row) for row in rows}


def _line(row: dict[str, str]) -> TaskLine:
    """Return a row of the table; the overview leaves out columns without a number."""
    jobs = {state: number for state in JOB.states if (number := number_of(row.get(state, "")))}
    return row["State"], number_of(row["Jobs"]), jobs, counts_of(row["Merges"])


def _known_lines(tasks: Iterable[Task]) -> dict[str, TaskLine]:
    found: dict[str, TaskLine] = {}
    for task in tasks:
        jobs = Job.objects.filter(task=task)
        own, merges = _by_state(jobs.filter(product="")), _by_state(jobs.exclude(product=""))
        found[task.name] = task.state, sum(own.values()), own, merges
    return found


def _failures(text: str, tries: QuerySet[Attempt]) -> Failures:
    """Return the attempts of each line of the failures on a page, in their order, and the lines that are wrong."""
    rows = [] if "No attempt has failed." in text else table_of(text, "Failed attempts by code")
    shown = [(row["Code"], row["Cause"], number_of(row["Attempts"]), number_of(row["Jobs"])) for row in rows]
    known = _count_failures(tries)
    return [row[2] or 0 for row in shown], [row for row in shown if row not in known]


def _known_failures(tries: QuerySet[Attempt], lines: int) -> Failures:
    return [row[2] for row in _count_failures(tries)[:lines]], []


def _count_failures(tries: QuerySet[Attempt]) -> list[tuple[str, str, int, int]]:
    """Return code, cause, failed attempts and jobs, the most frequent first."""
    jobs: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for attempt in tries.filter(state__in=FAILED):
        jobs[attempt.code or "no code", attempt.cause or "lost"].append(attempt.job_id)
    rows = [(code, cause, len(each), len(set(each))) for (code, cause), each in jobs.items()]
    return sorted(rows, key=lambda row: -row[2])


# ------------------------------------------------------------------------------------------------ periods and jobs


def _known_periods() -> list[dict[str, str]]:
    """All tasks here are of one year and of no period."""
    jobs = _by_state(Job.objects.filter(product=""))
    numbers = {state.capitalize(): str(jobs.get(state, 0)) for state in ENDED}
    still = sum(number for state, number in jobs.items() if state not in ENDED)
    words = {"Year": "2016", "Period": "no period", "Tasks": str(Task.objects.count()), "Progress": ""}
    return [{**words, "Jobs": str(sum(jobs.values())), "Open": str(still), **numbers}]


JOB_FIELDS = ("job", "task", "product", "file", "run", "chunk", "state", "attempts", "charged", "code", "cause")


def _jobs(viewer: Reader) -> tuple[list[list[str]], list[list[str]]]:
    """Return the jobs by the list for programs, and those of the list for people."""
    rows = list(csv.DictReader(io.StringIO(viewer.read("/jobs.csv?limit=1000"))))
    table = table_of(viewer.read("/jobs?limit=1000"), "Jobs")
    listed = [[row["Job"], row["Run-chunk"], row["Tries"]] for row in table]
    return [[row[name] for name in JOB_FIELDS] for row in rows], listed


def _known_jobs() -> tuple[list[list[str]], list[list[str]]]:
    columns = ["pk", "task__name", *JOB_FIELDS[2:]]
    rows = list(Job.objects.order_by("-pk").values_list(*columns))
    dash = "\N{EN DASH}"
    people = Job.objects.order_by("-pk").values_list("pk", "run", "chunk", "attempts")
    listed = [[str(job), f"{run}-{dash if chunk is None else chunk}", str(tries)] for job, run, chunk, tries in people]
    return [["" if value is None else str(value) for value in row] for row in rows], listed
