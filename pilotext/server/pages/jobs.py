"""Pages of jobs: a list by choice, one job with its verdict and attempts, and decisions on it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.jobs import JobPage, JobQuery
from pilotext.model.report import PhaseRecord
from pilotext.model.verdict import Evidence
from pilotext.server.pages.access import may, page
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.queries import EMPTY_MEANS_NONE, address, choice_of, in_words
from pilotext.server.production.manual_decisions import jobs as decisions
from pilotext.server.production.models import Job, Task
from pilotext.server.production.statistics.jobs import describe_job, list_jobs

WORDS = ("resend", "accept", "fail", "cancel")
"""Decisions on a job, the most usual first."""


@dataclass(frozen=True)
class LogLine:
    """A quoted line of a log; `number` is None where the report does not know it, `decisive` is the matched line."""

    number: int | None
    text: str
    decisive: bool


@dataclass(frozen=True)
class Bar:
    """Phase of an attempt with its share of the time, in steps of five of a hundred."""

    phase: PhaseRecord
    share: int


@page("viewer")
def list_some(request: HttpRequest) -> HttpResponse:
    """Show a page of the jobs of a choice."""
    asked = choice_of(request, JobQuery)
    found = list_jobs(asked)
    given = {name: value for name, value in request.GET.items() if name != "after"}
    words = {
        "jobs": found.jobs,
        "choice": in_words({name: value for name, value in given.items() if name != "limit"}),
        "further": address(reverse("jobs"), **given, after=found.next) if found.next is not None else "",
        "command": " ".join(["pilotext jobs list", *options_of(given)]),
    }
    return render(request, "pages/jobs.html", words)


@page("viewer")
def show(request: HttpRequest, job: int) -> HttpResponse:
    """Show everything about a job, its verdict first."""
    found = describe_job(job)
    task = Job.objects.values_list("task", flat=True).get(pk=job)
    words = {
        "page": found,
        "task": task,
        "quotes": [(one, quoted_lines(one)) for one in found.verdict.evidence] if found.verdict else [],
        "attempts": list(reversed(found.attempts)),
        "bars": bars_of(found.attempts[-1]) if found.attempts else [],
        "words": possible_words(found) if may(request, "expert") else [],
    }
    return render(request, "pages/job.html", words)


@page("expert", methods=("POST",))
def decide(request: HttpRequest, job: int) -> HttpResponse:
    """Carry out a decision on a job, and go back to it."""
    return carry_out(request, "job", job, decisions.move_job)


@page("viewer")
def search(request: HttpRequest) -> HttpResponse:
    """Go to the job, the run, the code or the task that a word names."""
    word = request.GET.get("q", "").strip()
    if word.isascii() and word.isdigit() and len(word) < 19:
        if Job.objects.filter(pk=int(word)).exists():
            return HttpResponseRedirect(reverse("job", args=[int(word)]))
        return HttpResponseRedirect(address(reverse("jobs"), run=word))
    if task := Task.objects.filter(name=word).order_by("-pk").first():
        return HttpResponseRedirect(reverse("task", args=[task.pk]))
    if "-" in word and word.rpartition("-")[2].isdigit():
        return HttpResponseRedirect(address(reverse("jobs"), code=word.upper()))
    return HttpResponseRedirect(address(reverse("jobs"), task=word))


def options_of(given: Mapping[str, object]) -> Iterator[str]:
    """Yield the options of the command line that make the same choice, quoted for a shell."""
    for name, value in given.items():
        if value or name in EMPTY_MEANS_NONE:
            yield f"--{name} {shlex.quote(str(value))}"


def quoted_lines(quote: Evidence) -> list[LogLine]:
    """Return the lines of a quotation with their numbers in the log."""
    texts = [*quote.before, *quote.text.split("\n"), *quote.after]
    first = quote.line - len(quote.before) if quote.line else None
    decisive = range(len(quote.before), len(texts) - len(quote.after))
    return [
        LogLine(None if first is None else first + place, text, place in decisive) for place, text in enumerate(texts)
    ]


def bars_of(attempt: AttemptRow) -> list[Bar]:
    """Return the phases of an attempt that took time, with their shares."""
    if attempt.detail is None:
        return []
    timed = [phase for phase in attempt.detail.phases if phase.outcome != "skipped"]
    total = sum(phase.seconds or 0.0 for phase in timed) or 1.0
    return [Bar(phase, max(5, round((phase.seconds or 0.0) / total * 20) * 5)) for phase in timed]


def possible_words(found: JobPage) -> list[str]:
    """Return the decisions that the state of the job allows."""
    return [word for word in WORDS if found.job.state in decisions.may_move(word)]
