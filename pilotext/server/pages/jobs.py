"""Lists of jobs by choice, with their numbers by attribute and twins for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.jobs import JobQuery, JobRow
from pilotext.sanitize import printable_json
from pilotext.serialization.csv import csv_of
from pilotext.server.pages.access import may, page
from pilotext.server.pages.queries import (
    EMPTY_MEANS_NONE,
    address,
    choice_of,
    given,
    in_words,
    tidy,
    time_locked,
)
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.manual_decisions.jobs import JOB_WORDS
from pilotext.server.production.statistics.job_choice import (
    MAX_COUNTED,
    LastAttempt,
    choose_jobs,
    count_attributes,
    last_attempts,
)
from pilotext.server.production.statistics.jobs import list_jobs

ATTRIBUTES = ("state", "task", "product", "code", "cause", "site", "node", "rule", "run", "assigned")
MAX_VALUES = 8
"""Values of an attribute that stand beside the list, the most frequent."""

FIELDS = (
    *("task", "run", "state", "code", "cause", "rule", "site", "node", "agent", "assigned"),
    *("changed_since", "changed_until"),
)
"""Fields of the form that chooses jobs."""

PAGING = ("after", "limit", "order")


@dataclass(frozen=True)
class Count:
    """A number of chosen jobs with a value of an attribute, and the list of just these."""

    value: str
    number: int
    link: str


@dataclass(frozen=True)
class Attribute:
    """An attribute with the numbers of jobs by its values; `more` values are not shown."""

    name: str
    counts: tuple[Count, ...]
    more: int


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest) -> HttpResponse:
    """Show a page of the jobs of a choice, the newest first."""
    if clean := tidy(request):
        return clean
    asked, texts = _asked(request), given(request)
    found = list_jobs(asked)
    choice = {name: text for name, text in texts.items() if name not in PAGING}
    last = last_attempts(row.job for row in found.jobs)
    attributes, complete = attributes_of(asked, choice)
    words = {
        "jobs": [(row, last.get(row.job, LastAttempt("", "", ""))) for row in found.jobs],
        "choice": in_words(choice),
        "fields": [(name, name.replace("_", " "), texts.get(name, "")) for name in FIELDS],
        "removals": _removals(choice),
        "attributes": attributes,
        "counted": "" if complete else f"of the newest {MAX_COUNTED}",
        "locked": time_locked(reverse("jobs"), choice, ("changed_since", "changed_until")),
        "further": address(reverse("jobs"), **{**texts, "after": found.next}) if found.next is not None else "",
        "turned": _turned(texts),
        "oldest": asked.order == "oldest",
        "json": address(reverse("jobs-json"), **texts),
        "csv": address(reverse("jobs-csv"), **texts),
        "command": " ".join(["pilotext jobs list", *options_of(texts, newest=asked.order == "newest")]),
        "decide": reverse("manual-decide") if choice and found.jobs and may(request, "expert") else "",
        "hidden": choice,
        "words": tuple(JOB_WORDS),
    }
    return render(request, "pages/jobs.html", words)


@page("viewer")
def as_json(request: HttpRequest) -> HttpResponse:
    """Return the same page of jobs as the API and `pilotext jobs list --json`."""
    document = printable_json(msgspec.json.encode(list_jobs(_asked(request))))
    return HttpResponse(document, content_type="application/json")


@page("viewer")
def as_csv(request: HttpRequest) -> HttpResponse:
    """Return the same page of jobs as `pilotext jobs list --csv`."""
    return csv_answer("jobs", csv_of(JobRow, list_jobs(_asked(request)).jobs))


def csv_answer(name: str, text: str) -> HttpResponse:
    """Return comma-separated values as a file to save."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def _asked(request: HttpRequest) -> JobQuery:
    """Return the choice of an address, the newest jobs first unless it says otherwise."""
    asked = choice_of(request, JobQuery)
    return asked if "order" in request.GET else msgspec.structs.replace(asked, order="newest")


def attributes_of(asked: JobQuery, choice: Mapping[str, str]) -> tuple[list[Attribute], bool]:
    """Return the numbers of jobs by each attribute that tells the chosen jobs apart, and whether they are of all."""
    counts, complete = count_attributes(choose_jobs(asked), ATTRIBUTES)
    found = []
    for name, numbers in counts.items():
        if len(numbers) < 2:
            continue
        shown = tuple(
            Count(value or _none(name), number, address(reverse("jobs"), **{**choice, name: value}))
            for value, number in numbers.most_common(MAX_VALUES)
            if value or name in EMPTY_MEANS_NONE
        )
        found.append(Attribute("what" if name == "product" else name, shown, max(0, len(numbers) - MAX_VALUES)))
    return found, complete


def _none(name: str) -> str:
    return {"product": "no merge", "assigned": "nobody"}.get(name, f"no {name}")


def _removals(choice: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each part of a choice in words with the list without it."""
    return [
        (in_words({name: text}), address(reverse("jobs"), **{each: choice[each] for each in choice if each != name}))
        for name, text in choice.items()
    ]


def _turned(texts: Mapping[str, str]) -> str:
    """Return the same list in the other order."""
    kept = {name: text for name, text in texts.items() if name not in ("after", "order")}
    return address(reverse("jobs"), **kept, order=None if texts.get("order") == "oldest" else "oldest")


def options_of(texts: Mapping[str, str], *, newest: bool) -> Iterator[str]:
    """Yield the options of the command line that make the same choice, quoted for a shell."""
    for name, text in texts.items():
        if name not in ("job", "after", "order"):
            yield f"--{name.replace('_', '-')} {shlex.quote(text)}"
    if newest:
        yield "--newest"
