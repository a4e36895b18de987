"""`pilotext jobs rejudge`: the current rules applied to kept reports of failed attempts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from pilotext.api.client import Client
from pilotext.api.schemas.rules import BulkReclassified, Reclassified, Reclassify
from pilotext.cli import connection
from pilotext.cli.decisions import add_reason, add_yes, confirm
from pilotext.cli.jobs.choice import add_selection, check_selection, check_tasks, job_filter
from pilotext.cli.output import say
from pilotext.cli.tables import print_table, progress, table, write_json
from pilotext.errors import UsageError
from pilotext.formatting import these_words
from pilotext.model.codes import Exit

COLUMNS = ("job", "attempt", "before", "now", "rule", "decision", "diag")
MAX_SHOWN = 20
"""Verdicts that are shown before they are applied."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--act", action="store_true", help="apply the new verdicts; without it they are only shown")
    add_reason(parser, required=False)
    add_yes(parser)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    check_selection(options)
    if options.act and not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    client = connection.connect(options)
    if options.act and not options.job:
        check_tasks(options)
    found = _reclassify(client, options, act=False)
    if options.act and found.changed:
        question = f"apply {these_words(len(found.changed), 'verdict')}?"
        if not options.job:
            preview = table(COLUMNS, [[str(cell) for cell in row] for row in _rows(found.changed[:MAX_SHOWN])])
            confirm(preview, found, question, options)
        found = _reclassify(client, options, act=True)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    print_table(COLUMNS, _rows(found.changed))
    said = f"attempts checked: {found.looked_at}, with another verdict: {len(found.changed)}"
    say(said if options.act else f"{said}; --act applies them")
    return Exit.SUCCESS


def _rows(changed: Iterable[Reclassified]) -> list[tuple[object, ...]]:
    return [(row.job, row.attempt, row.before, row.after, row.rule, row.decision, row.diag) for row in changed]


def _reclassify(client: Client, options: argparse.Namespace, *, act: bool) -> BulkReclassified:
    """Reclassify all jobs of the choice, some with each request."""
    jobs, only = job_filter(options), tuple(options.job)
    changed: list[Reclassified] = []
    checked, after = 0, 0
    with progress("rejudge") as tell:
        while True:
            asked = Reclassify(jobs, act, options.why or "", after, all_tasks=options.all_tasks, only=only)
            done = client.post("/api/v1/jobs/rejudge", asked, BulkReclassified)
            checked += done.looked_at
            changed += done.changed
            tell(checked, checked + done.left)
            if done.next is None:
                return BulkReclassified(checked, tuple(changed), None, 0)
            after = done.next
