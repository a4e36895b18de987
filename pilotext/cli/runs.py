"""`pilotext runs`: the runs of a task, how far their jobs and merges are, and what people decide about merged runs."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.runs import ProductList, ProductRow, RunEvents, RunList, RunPage, RunRow
from pilotext.api.schemas.tasks import TaskList
from pilotext.cli import confirm, connect
from pilotext.cli.output import say
from pilotext.cli.run_page import run_page
from pilotext.cli.tables import counts, pages, progress, show, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

WORDS = ("merge-without", "remerge", "accept")
FROM = {"merge-without": ("manual", "waiting"), "accept": ("manual",)}
"""The states that a decision is for; the others are refused by the server, each with its reason."""
CONFLICT = 409
MAX_SHOWN = 10
"""Products that are shown before a decision on many."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[list|show|merge-without|remerge|accept] TASK",
        help="list (default); show: the merged files; merge-without: merge without the chunks that are not there, "
        "which fail; remerge: merge anew; accept: take what the cross-check refused",
    )
    parser.add_argument("--run", type=int, help="only this run")
    parser.add_argument("--merge", help="only this kind, such as mdst; merge-without is for all of a run")
    parser.add_argument("--state", help="only runs with a product in this state, such as manual")
    parser.add_argument("--limit", type=int, default=100, help="list at most so many (default: 100)")
    parser.add_argument("--why", help="the reason of a decision; it stands in the audit trail")
    confirm.add_arguments(parser)
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List, show or decide; the exit status is 0 only when everything that was asked for was done."""
    do, task = _asked(options.words)
    client = connect.connect(options)
    if do == "list" and options.merge is not None:
        raise UsageError("--merge is not for the list.", advice=f"Write: pilotext runs show {task} --merge KIND.")
    if do == "list":
        return _list(client, task, options)
    if do == "show" and options.run is not None and options.merge is None and options.state is None:
        return _page(client, task, options)
    found = _products(client, task, options, options.limit if do == "show" else 1_000_000)
    if do == "show":
        return _show(found, options)
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.run is None and options.state is None:
        raise UsageError("which runs?", advice="Give --run N, or --state manual for all that wait for a decision.")
    if options.run is None and found:
        question = f"{do} these {len(found)} products of {len({row.run for row in found})} runs?"
        confirm.confirm(_preview(do, found), ProductList(tuple(found), None), question, options)
    return _decide(client, do, found, options)


def _asked(words: Sequence[str]) -> tuple[str, str]:
    do, task = words if len(words) == 2 else ("list", words[0])
    if len(words) > 2 or do not in ("list", "show", *WORDS):
        raise UsageError(f"{' '.join(words)!r} is not [list|show|{'|'.join(WORDS)}] TASK.")
    if len(words) == 1 and task in ("list", "show", *WORDS):
        raise UsageError("of which task?", advice=f"Write: pilotext runs {task} TASK.")
    return do, task


def _list(client: Client, task: str, options: argparse.Namespace) -> int:
    query = {"task": task, "run": options.run, "state": options.state}
    found = pages(client, "/api/v1/runs", RunList, query, name="runs", most=options.limit)
    if options.json:
        write_json(RunList(tuple(found), None))
        return Exit.SUCCESS
    head = ("run", "jobs", "catalogue", "processed", "skipped", "merged", "products", "findings")
    show(head, [_cells(row) for row in found])
    if len(found) == options.limit:
        say("... there may be more; see --limit")
    return Exit.SUCCESS


def _page(client: Client, task: str, options: argparse.Namespace) -> int:
    """One run with its events, its products and why they are not further."""
    found = client.get("/api/v1/tasks", TaskList, {"name": task}).tasks
    pages = [client.get(f"/api/v1/tasks/{row.task}/runs/{options.run}", RunPage) for row in found]
    write_json(pages[0] if len(pages) == 1 else pages) if options.json else say("\n\n".join(map(run_page, pages)))
    return Exit.SUCCESS


def _cells(row: RunRow) -> tuple[object, ...]:
    events = row.events or RunEvents(None, None, None, {}, 0)
    merged = " ".join(f"{merge}:{number}" for merge, number in sorted(events.merged.items()))
    numbers = (events.catalogue, events.processed, events.skipped, merged or "-")
    products = " ".join(f"{merge}:{state}" for merge, state in row.products.items())
    return row.run, counts(row.jobs), *numbers, products or "-", "; ".join(row.findings.values())


def _products(client: Client, task: str, options: argparse.Namespace, most: int) -> list[ProductRow]:
    client.get("/api/v1/runs", RunList, {"task": task, "limit": 1})  # says so when there is no such task
    query: dict[str, Any] = {"task": task, "run": options.run, "merge": options.merge, "state": options.state}
    return pages(client, "/api/v1/products", ProductList, query, name="products", most=most)


def _show(found: Sequence[ProductRow], options: argparse.Namespace) -> int:
    if options.json:
        write_json(ProductList(tuple(found), None))
        return Exit.SUCCESS
    rows: list[tuple[object, ...]] = []
    for row in found:
        what = (row.run, row.merge, row.state, row.round, row.events, len(row.left_out))
        rows += [(*what, file.name, file.size, file.kept or file.url, row.finding) for file in row.files] or [
            (*what, "-", "-", "-", row.finding)
        ]
    show(("run", "merge", "state", "round", "events", "left out", "file", "bytes", "where", "finding"), rows)
    return Exit.SUCCESS


def _preview(word: str, found: Sequence[ProductRow]) -> str:
    """The lines that say what a decision on many runs will do."""
    lines = [f"{word} is for {counts(Counter(f'{row.merge} {row.state}' for row in found))}"]
    lines += [f"  run {row.run} {row.merge}, {row.state}: {row.finding}" for row in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        lines.append(f"  ... and {len(found) - MAX_SHOWN} more")
    return "\n".join(map(one_line, lines))


def _decide(client: Client, do: str, found: Sequence[ProductRow], options: argparse.Namespace) -> int:
    moved: list[int] = []
    hindered: dict[str, str] = {}
    seen: set[int] = set()
    with progress(do) as tell:
        for number, row in enumerate(found, 1):
            tell(number, len(found))
            if row.product in moved or (do == "merge-without" and row.run in seen):
                continue
            seen.add(row.run)
            what = f"{row.run} {row.merge}"
            try:
                done = client.post(f"/api/v1/products/{row.product}/move", Move(do, options.why), Moved).moved
            except ServerError as error:
                if error.status != CONFLICT:
                    raise
                hindered[what] = error.message
                continue
            moved += done
            if not done and row.state in FROM.get(do, (row.state,)):
                hindered[what] = f"the {row.merge} of run {row.run} is {row.state}: there is nothing to {do}"
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        say("\n".join([f"{do}: {len(moved)} products", *map(one_line, hindered.values())]))
    return Exit.SUCCESS if moved and not hindered else Exit.USAGE
