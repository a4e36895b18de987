"""Tables for people, coloured on a terminal and plain columns anywhere else, and the progress of long work."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from pilotext.cli import output
from pilotext.cli.output import plain, say, write
from pilotext.model import Record
from pilotext.sanitize import one_line
from pilotext.serialization.csv import csv_of

_COLOUR = {"finished": "green", "done": "green", "kept": "green", "failed": "red", "manual": "yellow", "lost": "red"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns under their heads."""
    lines = [list(head), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
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
    Console(file=out, force_terminal=True, width=Console().width).print(page)
    write(out.getvalue().encode())


def write_json(answer: object) -> None:
    """Print a record as the one JSON document on stdout."""
    output.write_json(msgspec.json.encode(answer))


def write_csv(kind: type[Record], rows: Iterable[Record]) -> None:
    """Print records as comma-separated values on stdout."""
    output.write_text(csv_of(kind, rows))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of long work on stderr, where that is a terminal; the caller passes done and total."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415  only for people
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(one_line(what)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
