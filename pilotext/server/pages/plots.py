"""Plots of the last seven days: what began, ended, runs, fails and is moved, by hour; each with its table."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.model import Record
from pilotext.serialization.csv import csv_of
from pilotext.server.pages.access import page
from pilotext.server.pages.jobs import csv_answer
from pilotext.server.pages.plotting import HOURS, PLOTS, draw, series_of
from pilotext.server.pages.queries import address, choice_of, given, in_words, tidy
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.attempts import AttemptQuery, list_attempts
from pilotext.server.production.statistics.hourly import begin_of
from pilotext.server.production.statistics.series import Measured, measure

COARSE_H, FINE_H = 12, 1
"""Hours of a bar where all plots stand together, and of one that stands alone."""

WORDS = {"started": "started", "ended": "ended", "running": "were running", "silent": "send no heartbeat"}


class PlotQuery(Record, frozen=True):
    """Choice of what is drawn."""

    task: str | None = None
    site: str | None = None


class PlotNumber(Record, frozen=True):
    """A number of a plot: the hour that it is of, and its series."""

    hour: str
    series: str
    number: float


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest) -> HttpResponse:
    """Show all plots, a bar for each twelve hours, with tables by day."""
    if clean := tidy(request):
        return clean
    asked, texts = choice_of(request, PlotQuery), given(request)
    found = measure(HOURS, task=asked.task, site=asked.site)
    words = {
        "plots": [draw(name, found, texts, COARSE_H, 24) for name in PLOTS],
        "choice": in_words(texts),
        "query": address("", **texts),
        "fields": [(name, name, texts.get(name, "")) for name in ("task", "site")],
    }
    return render(request, "pages/plots.html", words)


@page("viewer")
@refreshed(marks_of_all)
def show_one(request: HttpRequest, name: str) -> HttpResponse:
    """Show one plot, a bar for each hour, with a table of twelve hours a row."""
    asked, texts = choice_of(request, PlotQuery), given(request)
    plot = draw(name, _measured(name, asked), texts, FINE_H, COARSE_H)
    words = {
        "plot": plot,
        "choice": in_words(texts),
        "csv": address(reverse("plot-csv", args=[name]), **texts),
        "back": address(reverse("plots"), **texts),
        "others": [(each, kind.title) for each, kind in PLOTS.items() if each != name],
        "query": address("", **texts),
    }
    return render(request, "pages/plot.html", words)


@page("viewer")
def as_csv(request: HttpRequest, name: str) -> HttpResponse:
    """Return the numbers of a plot by hour as comma-separated values."""
    asked = choice_of(request, PlotQuery)
    found = _measured(name, asked)
    series = series_of(name, found, FINE_H)
    stamps = [begin_of(at).strftime("%Y-%m-%dT%H:00:00Z") for at in range(found.begin, found.end + 1)]
    rows = (PlotNumber(at, each, n) for each, numbers in series.items() for at, n in zip(stamps, numbers, strict=True))
    return csv_answer(f"plot-{name}", csv_of(PlotNumber, rows))


@page("viewer")
def attempts(request: HttpRequest) -> HttpResponse:
    """Show the attempts that began, ended or ran within a time, the newest first."""
    asked, texts = choice_of(request, AttemptQuery), given(request)
    rows, following = list_attempts(asked)
    times = {each: text for each, text in texts.items() if each not in ("after", "limit", "since", "until", "by")}
    words = {
        "title": f"Attempts that {WORDS[asked.by]}",
        "rows": rows,
        "asked": asked,
        "choice": in_words(times),
        "further": address(reverse("attempts"), **{**texts, "after": following}) if following else "",
        "back": reverse("overview" if asked.by == "silent" else "plots"),
        "back_words": "Overview" if asked.by == "silent" else "Plots",
        "of_now": asked.by == "silent",
    }
    return render(request, "pages/attempts.html", words)


def _measured(name: str, asked: PlotQuery) -> Measured:
    """Return the numbers of one plot. Raises RefusalError for a name that no plot has."""
    if name not in PLOTS:
        raise RefusalError("not-found", f"there is no plot {name!r:.40}; there are {', '.join(PLOTS)}.")
    return measure(HOURS, (PLOTS[name].part,), task=asked.task, site=asked.site)
