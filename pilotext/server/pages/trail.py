"""The audit trail: who did what to which object, when and why."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.audit import AuditQuery, AuditRow
from pilotext.api.schemas.sites import BREAKER_WORDS
from pilotext.serialization.csv import csv_of
from pilotext.server.pages.access import page
from pilotext.server.pages.jobs import csv_answer
from pilotext.server.pages.queries import address, choice_of, given, in_words, tidy, whole_number
from pilotext.server.production.lookup import tasks_named
from pilotext.server.production.profiles import PROFILE, SITE_LIMIT
from pilotext.server.production.states import BREAKER
from pilotext.server.production.statistics.audit import ANYBODY, count_audit_entries, list_audit_entries

FIELDS = ("who", "task", "subject", "since", "until")
LINKED = {
    **dict.fromkeys(("job", "note", "assigned", "priority"), "job"),
    **dict.fromkeys(("task", "task setting"), "task"),
    **dict.fromkeys(("site", SITE_LIMIT), "site"),
}
"""Subjects that have a page, with its name."""

MAX_COUNTED = 1000
"""Lines that are counted; of more it is only said that there are more."""

SUBJECTS = {"task": "tasks", "breaker": "breakers", "site": "sites", "agent": "agents", "user": "accounts"}
"""Subjects that the page offers to choose, with their words."""


@dataclass(frozen=True)
class TrailLine:
    """A line of the trail with its move in words, and the page of its subject, empty where it has none."""

    row: AuditRow
    link: str
    before: str
    after: str


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show a page of the audit trail, the newest first."""
    if clean := tidy(request):
        return clean
    texts = given(request)
    asked = _asked(request)
    found = list_audit_entries(asked)
    whole = asked.before is None and found.next is None
    total = len(found.events) if whole else count_audit_entries(asked, MAX_COUNTED + 1)
    choice = {name: text for name, text in texts.items() if name in FIELDS}
    words = {
        "lines": [line_of(row) for row in found.events],
        "total": min(total, MAX_COUNTED),
        "more": total > MAX_COUNTED,
        "choice": in_words(choice),
        "fields": [(name, name, texts.get(name, "")) for name in FIELDS],
        "people": address(reverse("trail"), who=ANYBODY),
        "subjects": [(words, address(reverse("trail"), subject=subject)) for subject, words in SUBJECTS.items()],
        "mine": address(reverse("trail"), who=f"person:{request.user.get_username()}"),
        "further": address(reverse("trail"), **{**texts, "before": found.next}) if found.next is not None else "",
        "csv": address(reverse("trail-csv"), **texts),
    }
    return render(request, "pages/trail.html", words)


@page("viewer")
def as_csv(request: HttpRequest) -> HttpResponse:
    """Return the same page of the trail as comma-separated values."""
    return csv_answer("trail", csv_of(AuditRow, list_audit_entries(_asked(request)).events))


def _asked(request: HttpRequest) -> AuditQuery:
    """Return the choice of an address, where a task has a name or a number. Raises RefusalError for no such task."""
    task = given(request).get("task", "")
    asked = choice_of(request, AuditQuery, without=("task",))
    if not task:
        return asked
    number = whole_number(task)
    return msgspec.structs.replace(asked, task=tasks_named(task)[0].pk if number is None else number)


def line_of(row: AuditRow) -> TrailLine:
    """Return a line of the trail as the page shows it."""
    if row.subject == PROFILE:  # its states are fingerprints; `why` names the parts that have changed
        return TrailLine(row, "", "", "changed" if row.before else "read")
    words = BREAKER_WORDS if row.subject == BREAKER.name else {}
    return TrailLine(row, link_of(row), words.get(row.before, row.before), words.get(row.after, row.after))


def link_of(row: AuditRow) -> str:
    """Return the address of the page of what a line of the trail is about; empty where it has none."""
    if row.subject == BREAKER.name:
        return f"{reverse('failures')}#breakers"
    name = LINKED.get(row.subject)
    return reverse(name, args=[row.subject_id]) if name else ""
