"""Search: from a word to the page of what it names."""

from __future__ import annotations

import re

from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.profile.job_builder import base_name
from pilotext.server.pages.access import page
from pilotext.server.pages.queries import address, whole_number
from pilotext.server.production.models import Agent, Attempt, Job, JobInput, Site, Task

MAX_RUN = 2**31 - 1
MAX_FOUND = 50
"""Tasks that are named where a number is that of a run, and jobs that are looked at for a file."""


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Go to the job, run, task, site, period, file, agent, code or node of this name; else say what can be found."""
    word = request.GET.get("q", "").strip()
    if (number := whole_number(word)) is not None:
        return _number(request, number)
    for place_of in (_task, _site, _period, _file, _agent, _code, _node):
        if word and (place := place_of(word)):
            return HttpResponseRedirect(place)
    return render(request, "pages/search_none.html", {"word": word}, status=404 if word else 200)


def _number(request: HttpRequest, number: int) -> HttpResponse:
    """Go to the job or the run of this number; show both where there are both."""
    is_job = Job.objects.filter(pk=number).exists()
    rows = Job.objects.filter(run=number, product="") if number <= MAX_RUN else Job.objects.none()
    tasks = list(rows.order_by().values_list("task_id", "task__name").distinct()[:MAX_FOUND])
    if is_job and tasks:
        runs = [(name, reverse("run", args=[task, number])) for task, name in sorted(tasks, reverse=True)]
        words = {"number": number, "runs": runs, "jobs": address(reverse("jobs"), run=number)}
        return render(request, "pages/search.html", words)
    if is_job:
        return HttpResponseRedirect(reverse("job", args=[number]))
    return HttpResponseRedirect(address(reverse("jobs"), run=number))


def _task(word: str) -> str:
    task = Task.objects.filter(name=word).order_by("-pk").first()
    return reverse("task", args=[task.pk]) if task else ""


def _site(word: str) -> str:
    site = Site.objects.filter(name__iexact=word).first()
    return reverse("site", args=[site.pk]) if site else ""


def _period(word: str) -> str:
    """Return the page of the period of this name, alone or with its year; that of all years where several have it."""
    year, period = ("", word)
    if found := re.fullmatch(r"(\d{4})[ /-]?([A-Za-z]\w*)", word):
        year, period = found.groups()
    rows = Task.objects.filter(period__iexact=period, period__gt="", **({"year": year} if year else {}))
    known = sorted(set(rows.values_list("year", "period")), key=lambda each: (each[0] or 0, each[1]))
    if not known:
        return ""
    if len(known) > 1:
        return reverse("periods")
    return address(reverse("period"), year=known[0][0], period=known[0][1])


def _file(word: str) -> str:
    """Return the page of the job that reads a file of this name, or whose run and chunk are both in it.

    A job of several files is found by any of their names.

    Names of raw files and of outputs have run and chunk in them. Several such jobs are shown with their run.
    """
    numbers = {int(digits) for digits in re.findall(r"\d{1,9}", word)}
    if len(numbers) < 2 or not re.search("[A-Za-z]", word):
        return ""
    rows = Job.objects.filter(run__in=numbers, chunk__in=numbers, product="").exclude(run=F("chunk"))
    jobs = list(rows.order_by("-pk").values_list("pk", "run", "file")[:MAX_FOUND])
    same = [job for job in jobs if base_name(job[2]) == word]
    if not same:
        inputs = JobInput.objects.filter(job__run__in=numbers, file__endswith=word).order_by("-job")
        same = [row for row in inputs.values_list("job", "job__run", "file")[:MAX_FOUND] if base_name(row[2]) == word]
    same = same or jobs
    if len(same) == 1:
        return reverse("job", args=[same[0][0]])
    return address(reverse("jobs"), run=same[0][1]) if same else ""


def _agent(word: str) -> str:
    return address(reverse("jobs"), agent=word) if Agent.objects.filter(name=word).exists() else ""


def _code(word: str) -> str:
    is_code = re.fullmatch(r"[A-Za-z][A-Za-z0-9]*-\d{1,4}", word)
    return address(reverse("jobs"), code=word.upper()) if is_code else ""


def _node(word: str) -> str:
    return address(reverse("jobs"), node=word) if Attempt.objects.filter(node=word).exists() else ""
