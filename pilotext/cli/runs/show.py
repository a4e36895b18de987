"""`pilotext runs show`: the merged products of runs, or one run with its events and why it waits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from pilotext.api.client import Client
from pilotext.api.schemas.runs import ProductList, ProductRow, RunEvents, RunPage
from pilotext.api.schemas.tasks import TaskList
from pilotext.cli import connection
from pilotext.cli.formatting import counts, fields, reasons, sentence
from pilotext.cli.output import say
from pilotext.cli.runs.choice import add_merge, add_runs, fetch_products
from pilotext.cli.tables import print_table, write_json
from pilotext.formatting import bytes_of, clock, counted_words
from pilotext.model.codes import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    add_merge(parser)
    connection.add_limit(parser)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show one run whole, or the chosen products of several."""
    client = connection.connect(options)
    if options.run is not None and options.merge is None and options.state is None:
        return _show_run(client, options)
    chosen = {"run": options.run, "merge": options.merge, "state": options.state}
    found = fetch_products(client, options.task, **chosen, limit=options.limit)
    if options.json:
        write_json(ProductList(tuple(found), None))
    else:
        _show_products(found)
    return Exit.SUCCESS


def _show_run(client: Client, options: argparse.Namespace) -> int:
    found = client.get("/api/v1/tasks", TaskList, {"name": options.task}).tasks
    pages = [client.get(f"/api/v1/tasks/{row.task}/runs/{options.run}", RunPage) for row in found]
    write_json(pages[0] if len(pages) == 1 else pages) if options.json else say("\n\n".join(map(run_page, pages)))
    return Exit.SUCCESS


def _show_products(found: Sequence[ProductRow]) -> None:
    rows: list[tuple[object, ...]] = []
    for row in found:
        what = (row.run, row.merge, row.state, row.round, row.events, len(row.left_out))
        rows += [(*what, file.name, file.size, file.kept or file.url, row.finding) for file in row.files] or [
            (*what, "-", "-", "-", row.finding)
        ]
    print_table(("run", "merge", "state", "round", "events", "left out", "file", "bytes", "where", "finding"), rows)


def run_page(page: RunPage) -> str:
    """Return everything about a run, in lines of at most 80 columns but for names that are longer."""
    run = page.run
    rows: list[tuple[str, object]] = [
        ("jobs", counts(run.jobs)),
        ("events", _events(run.events) if run.events is not None else ""),
    ]
    parts = [f"{sentence(f'run {run.run} of {run.task}')}\n{fields(rows)}".rstrip()]
    if chunks := "\n".join(_chunks(page)):
        parts.append(chunks)
    parts += [_product(row, page) for row in page.products]
    if waits := "\n".join(reasons(page.waits.get("", ()))):
        parts.append(waits)
    return "\n\n".join(parts)


def _events(events: RunEvents) -> str:
    known = (("catalogue", events.catalogue), ("processed", events.processed), ("skipped", events.skipped))
    words = [f"{name} {number}" for name, number in known if number is not None]
    words += [f"{merge} merged {number}" for merge, number in sorted(events.merged.items())]
    words += [f"not counted in {counted_words(events.unknown, 'chunk')}"] if events.unknown else []
    return ", ".join(words)


def _chunks(page: RunPage) -> Iterator[str]:
    for chunk in page.chunks:
        counted = (("catalogue", chunk.catalogue), ("processed", chunk.processed), ("skipped", chunk.skipped))
        words = ", ".join(f"{name} {number}" for name, number in counted if number is not None)
        which = "a file without chunk number" if chunk.chunk is None else f"chunk {chunk.chunk}"
        yield sentence(f"{which} (job {chunk.job}): {words}")


def _product(row: ProductRow, page: RunPage) -> str:
    left_out = f", without job {', '.join(map(str, row.left_out))}" if row.left_out else ""
    waits = page.waits.get(row.merge, ())
    told = any(row.finding in wait.what for wait in waits)
    head = sentence(f"{row.merge}: {row.state}, round {row.round}{left_out}")
    rows: list[tuple[str, object]] = [
        ("since", clock(row.changed)),
        ("events", row.events),
        ("finding", "" if told else row.finding),
    ]
    lines = [head, fields(rows)]
    for file in row.files:
        size = f"{bytes_of(file.size)} ({file.size} bytes), adler32 {file.adler32}"
        inputs = counted_words(file.inputs, "file")
        lines.append(fields([("file", file.name), ("at", file.kept or file.url), ("size", size), ("of", inputs)]))
    lines += reasons(waits)
    return "\n".join(line for line in lines if line)
