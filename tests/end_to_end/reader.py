"""Somebody who reads the pages of a server over HTTP, and the numbers that stand on a page."""

from __future__ import annotations

import re
from html import unescape

import requests

from tests.server.pages.browsing import rows_of

TIMEOUT_S = 60.0
_THIN_SPACE = "\N{THIN SPACE}"


class Reader:
    """Somebody who has logged in by the form of the server at `url`."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._url, self._session = url, requests.Session()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.read("/login"))
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": name, "password": password, "next": "/account"}
        answer = self._session.post(f"{url}/login", form, timeout=TIMEOUT_S)
        assert f"<h1>{name}</h1>" in answer.text, answer.text

    def read(self, path: str) -> str:
        """Return the text of a page."""
        answer = self._session.get(f"{self._url}{path}", timeout=TIMEOUT_S, allow_redirects=False)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text


def number_of(text: str) -> int | None:
    """Return a number as a page shows it; None for the dash of what is not known, or for nothing."""
    text = re.sub(r"\s", "", text)
    return None if text in ("", "\N{EN DASH}") else int(text)


def table_of(text: str, caption: str, *extra: str) -> list[dict[str, str]]:
    """Return the rows of a table by the words of its head; a word of `extra` follows the column that it stands for.

    A cell that goes over several rows is the first one of each of them.
    """
    head, *rows = rows_of(text, caption)
    for word in extra:
        head.insert(head.index(word), f"{word} drawn")
    found: list[dict[str, str]] = []
    for row in rows:
        cells = row if len(row) == len(head) else [found[-1][head[0]], *row]
        found.append({name: unescape(cell) for name, cell in zip(head, cells, strict=True)})
    return found


def tiles_of(text: str) -> dict[str, int]:
    """Return the large numbers at the top of a page, by their words."""
    found = re.findall(r"<b>([^<]*)</b><span>([^<]*)<", text)
    return {words: number_of(number) or 0 for number, words in found}


def counts_of(text: str) -> dict[str, int]:
    """Return the numbers of a text like `7 finished, 1 manual`."""
    return {words: int(number) for number, words in re.findall(r"(\d+) ([^,]+)", text.replace(_THIN_SPACE, ""))}
