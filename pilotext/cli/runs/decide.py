"""`pilotext runs merge-without`, `resend-missing`, `remerge` and `accept`: decisions on merged products."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.runs import ProductList, ProductRow
from pilotext.cli import connection
from pilotext.cli.decisions import CONFLICT, add_reason, add_yes, confirm
from pilotext.cli.formatting import counts
from pilotext.cli.output import say
from pilotext.cli.runs.choice import add_merge, add_runs, fetch_products
from pilotext.cli.tables import progress, write_json
from pilotext.errors import UsageError
from pilotext.formatting import counted_words, these_words
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

DECISIONS = {
    "merge-without": "merge all products of runs without the chunks that are missing; these fail for good",
    "resend-missing": "run all chunks again that the merges of runs miss, and merge them when these have succeeded",
    "remerge": "merge again",
    "accept": "accept products that the cross-check refused",
}
FROM = {"merge-without": ("manual", "waiting"), "accept": ("manual",)}
"""The states that a decision is for; the others are refused by the server, each with its reason."""
OF_THE_RUN = ("merge-without", "resend-missing")
"""Decisions on all products of a run at once."""
MAX_SHOWN = 10
"""Products that are shown before a decision on many."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    add_merge(parser)
    add_reason(parser)
    add_yes(parser)
    connection.add_arguments(parser)


def run(decision: str, options: argparse.Namespace) -> int:
    """Decide; the exit status is 0 only if something was moved and nothing was refused."""
    client = connection.connect(options)
    found = fetch_products(client, options.task, run=options.run, merge=options.merge, state=options.state)
    if options.run is None and options.state is None:
        raise UsageError(
            "no runs are chosen.", advice="Give --run N, or --state manual for all that wait for a decision."
        )
    if options.run is None and found:
        runs = counted_words(len({row.run for row in found}), "run")
        question = f"{decision} {these_words(len(found), 'product')} of {runs}?"
        confirm(_preview(decision, found), ProductList(tuple(found), None), question, options)
    return _decide(client, decision, found, options)


def _preview(decision: str, found: Sequence[ProductRow]) -> str:
    """Return the lines that say what a decision on many runs will do."""
    lines = [f"{decision} is for {counts(Counter(f'{row.merge} {row.state}' for row in found))}"]
    lines += [f"  run {row.run} {row.merge}, {row.state}: {row.finding}" for row in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        lines.append(f"  ... and {len(found) - MAX_SHOWN} more")
    return "\n".join(map(one_line, lines))


def _decide(client: Client, decision: str, found: Sequence[ProductRow], options: argparse.Namespace) -> int:
    moved: list[int] = []
    hindered: dict[str, str] = {}
    seen: set[int] = set()
    with progress(decision) as tell:
        for number, row in enumerate(found, 1):
            tell(number, len(found))
            if row.product in moved or (decision in OF_THE_RUN and row.run in seen):
                continue
            seen.add(row.run)
            what = f"{row.run} {row.merge}"
            try:
                done = client.post(f"/api/v1/products/{row.product}/move", Move(decision, options.why), Moved).moved
            except ServerError as error:
                if error.status != CONFLICT:
                    raise
                hindered[what] = error.message
                continue
            moved += done
            if not done and row.state in FROM.get(decision, (row.state,)):
                hindered[what] = f"the {row.merge} of run {row.run} is {row.state}: there is nothing to {decision}"
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        say("\n".join([f"{decision}: {counted_words(len(moved), 'product')}", *map(one_line, hindered.values())]))
    return Exit.SUCCESS if moved and not hindered else Exit.USAGE
