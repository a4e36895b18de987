"""Tables for people: with lines and colours on a terminal, plain columns anywhere else; and how far a long work is."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from pilotext.api.client import Client
from pilotext.cli import output
from pilotext.cli.output import plain, say, write
from pilotext.cli.summary import table
from pilotext.sanitize import one_line

T = TypeVar("T")

MOST_PAGE = 1000
_COLOUR = {"finished": "green", "done": "green", "kept": "green", "failed": "red", "manual": "yellow", "lost": "red"}


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout."""
    cells = [[_text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        say(table(head, cells))
        return
    from rich.console import Console  # noqa: PLC0415  only for people
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    page = Table(*head, header_style="bold", box=None, pad_edge=False)
    for row in cells:
        page.add_row(*(Text(plain(one_line(cell)), style=_COLOUR.get(cell, "")) for cell in row))
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=_width()).print(page)
    write(out.getvalue().encode())


def write_json(answer: object) -> None:
    """Print a record as the one JSON document on stdout."""
    output.write_json(msgspec.json.encode(answer))


def clock(at: float | None) -> str:
    """A point in time as people write it, in UTC."""
    return "-" if not at else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def counts(numbers: dict[str, int]) -> str:
    return " ".join(f"{state}:{number}" for state, number in sorted(numbers.items())) or "-"


def pages(client: Client, path: str, kind: type[T], query: dict[str, Any], *, name: str, most: int) -> list[Any]:
    """Up to `most` rows of a list, page by page; `name` is the field of the rows."""
    found: list[Any] = []
    after: int | None = 0
    while after is not None and len(found) < most:
        page: Any = client.get(path, kind, {**query, "after": after, "limit": min(MOST_PAGE, most - len(found))})
        found += getattr(page, name)
        after = page.next
    return found


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how far a work is, where that is a terminal: to be told what is done, and what there is to do."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415  only for people
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(one_line(what)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _width() -> int:
    from rich.console import Console  # noqa: PLC0415

    return Console().width


def _text(cell: object) -> str:
    return "-" if cell is None else str(cell)
