"""Notices as a page and as Atom feeds: of all, of a task, of a site, of the tasks of who asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit
from xml.etree import ElementTree

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.fields import Id, Limit
from pilotext.model import Record
from pilotext.server.pages.access import feed, page
from pilotext.server.pages.queries import address, choice_of, given, in_words, tidy, whole_number
from pilotext.server.production.lookup import site_named, tasks_named
from pilotext.server.production.models import Notice, NoticeChannel
from pilotext.server.times import EPOCH

ATOM = "http://www.w3.org/2005/Atom"
FIELDS = ("task", "site", "mine")
FEED_ENTRIES = 100


class NoticeQuery(Record, frozen=True):
    """Choice of notices: of a task by its name or number, of a site, of the tasks of who asks."""

    task: str | None = None
    site: str | None = None
    mine: Literal["yes"] | None = None
    before: Id | None = None
    limit: Limit = 100


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show a page of the notices, the newest first."""
    if clean := tidy(request):
        return clean
    asked, texts = choice_of(request, NoticeQuery), given(request)
    rows = _chosen(asked, request.user.get_username())
    if asked.before is not None:
        rows = rows.filter(pk__lt=asked.before)
    found = list(rows[: asked.limit + 1])
    shown = found[: asked.limit]
    choice = {name: text for name, text in texts.items() if name in FIELDS}
    further = address(reverse("notices"), **{**texts, "before": shown[-1].pk}) if len(found) > asked.limit else ""
    words = {
        "rows": shown,
        "choice": in_words(choice),
        "fields": [(name, name, texts.get(name, "")) for name in ("task", "site")],
        "mine": address(reverse("notices"), mine="yes"),
        "further": further,
        "failing": list(NoticeChannel.objects.exclude(error="").order_by("name")),
        "feed": address(reverse("notices-atom"), **choice),
    }
    return render(request, "pages/notices.html", words)


@feed
def as_atom(request: HttpRequest, name: str) -> HttpResponse:
    """Return the newest notices of a choice as an Atom feed, for the person or the token of this name."""
    asked, texts = choice_of(request, NoticeQuery), given(request)
    choice = {field: text for field, text in texts.items() if field in FIELDS}
    title = f"pilotext: {in_words(choice)}" if choice else "pilotext"
    rows = list(_chosen(asked, name)[:FEED_ENTRIES])
    document = atom_of(title, address(reverse("notices-atom"), **choice), address(reverse("notices"), **choice), rows)
    return HttpResponse(document, content_type="application/atom+xml; charset=utf-8")


def _chosen(asked: NoticeQuery, name: str) -> QuerySet[Notice]:
    """Return the notices of a choice, the newest first. Raises RefusalError for a task or a site that there is not."""
    rows = Notice.objects.select_related("task", "site").order_by("-pk")
    if asked.task is not None:
        number = whole_number(asked.task)
        rows = rows.filter(task__in=[row.pk for row in tasks_named(asked.task)] if number is None else [number])
    if asked.site is not None:
        rows = rows.filter(site=site_named(asked.site))
    return rows if asked.mine is None else rows.filter(task__submitter=name)


def atom_of(title: str, own: str, page_of_it: str, rows: Sequence[Notice]) -> bytes:
    """Return an Atom feed of notices, whose texts are fit to print, with the paths of itself and of its page."""
    ElementTree.register_namespace("", ATOM)
    host = urlsplit(settings.PUBLIC_URL).hostname
    top = ElementTree.Element(f"{{{ATOM}}}feed")
    _put(top, "id", f"tag:{host},2026:{own}")
    _put(top, "title", title)
    _put(top, "updated", _moment(max((row.last for row in rows), default=EPOCH)))
    _put(ElementTree.SubElement(top, f"{{{ATOM}}}author"), "name", "pilotext")
    for relation, path in (("self", own), ("alternate", page_of_it)):
        _put(top, "link", rel=relation, href=f"{settings.PUBLIC_URL}{path}")
    for row in rows:
        entry = ElementTree.SubElement(top, f"{{{ATOM}}}entry")
        _put(entry, "id", f"tag:{host},2026:notice-{row.pk}")
        _put(entry, "title", row.title)
        _put(entry, "published", _moment(row.at))
        _put(entry, "updated", _moment(row.last))
        _put(entry, "category", term=row.kind)
        _put(entry, "link", rel="alternate", href=f"{settings.PUBLIC_URL}{row.page}")
        _put(entry, "summary", row.summary(), type="text")
    document: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return document


def _put(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> None:
    ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes).text = text


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
