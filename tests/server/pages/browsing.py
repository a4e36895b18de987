"""Browsers of people with a role, and what every page must hold, for tests of pages."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from pilotext.server.boot import boot

boot()

from django.http.response import HttpResponse, HttpResponseBase  # noqa: E402  needs boot
from django.test import Client  # noqa: E402

from pilotext.server.production.access.people import make_groups, set_user  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402

BY = Reason("boss", "for a test", "person")
PASSWORD = "correct horse battery"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"' onload=x"


def browser(role: str | None = None, *, checks: bool = False) -> Client:
    """A browser of somebody with this role who has logged in; of nobody without one."""
    found = Client(enforce_csrf_checks=checks, SERVER_NAME="localhost")
    if role is not None:
        make_groups()
        found.force_login(set_user(f"a-{role}", role, BY, PASSWORD))
    return found


def text_of(answer: HttpResponseBase) -> str:
    assert isinstance(answer, HttpResponse)
    return answer.content.decode()


def rows_of(text: str, caption: str) -> list[list[str]]:
    """The cells of a table, by its caption, without tags."""
    table = re.search(rf"<caption[^>]*>{caption}.*?</table>", text, re.DOTALL)
    assert table is not None, caption
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[0], re.DOTALL)
    return [
        [re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in rows
    ]


OWN_SCRIPT = ("script", [("src", "/static/pilotext/refresh.js"), ("defer", None)])
"""The one script that a page may have."""


class Tags(HTMLParser):
    """The tags and the attributes of a page, but for its own script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) != OWN_SCRIPT:
            self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def assert_harmless(text: str, *, html: bool = True) -> None:
    """No script, no inline style, no character that steers."""
    tags = Tags()
    if html:
        tags.feed(text)
    assert not tags.tags & {"script", "style", "iframe"}
    assert not {name for name in tags.attributes if name.startswith("on") or name == "style"}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
