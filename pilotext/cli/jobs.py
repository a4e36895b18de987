"""`pilotext jobs`: the jobs of tasks, the list of those that need a decision, one with its history, and decisions."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.fields import Move, Moved, Note
from pilotext.api.schemas.jobs import Assignment, BulkMove, BulkMoved, JobFilter, JobList, JobPage, JobRow, WorkList
from pilotext.api.schemas.rules import BulkReclassified, Reclassified, Reclassify
from pilotext.cli import confirm, connect
from pilotext.cli.job_page import page_of, work_of
from pilotext.cli.output import say
from pilotext.cli.summary import table
from pilotext.cli.tables import pages, progress, show, write_json
from pilotext.errors import FieldError, UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line
from pilotext.serialization.json import from_plain

WORDS = ("resend", "accept", "fail", "cancel")
LISTS = ("list", "manual")
FILTERS = {
    "task": "of this task",
    "state": "in this state",
    "code": "whose last verdict has this code",
    "cause": "whose last verdict has this cause",
    "product": "of this merge; '' for production jobs",
    "signature": "with this signature of an unknown failure",
    "assigned": "that this person looks into",
}
CHANGED = ("job", "attempt", "before", "now", "rule", "decision", "diag")
MAX_SHOWN = 20
"""Verdicts that are shown before they are written down."""
CONFLICT = 409


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choices = (*LISTS, "show", *WORDS, "note", "assign", "rejudge")
    parser.add_argument("do", nargs="?", choices=choices, default="list", help="(default: list)")
    parser.add_argument("job", nargs="*", type=int, help="numbers of jobs; without, decisions are on all of the choice")
    for name, text in FILTERS.items():
        parser.add_argument(f"--{name}", help=f"only jobs {text}")
    parser.add_argument("--run", type=int, help="only jobs of this run")
    parser.add_argument("--all-tasks", action="store_true", help="a decision on many is on jobs of every task")
    parser.add_argument("--limit", type=int, default=100, help="list at most so many (default: 100)")
    parser.add_argument("--why", help="the reason of a decision, or the note; it stands in the audit trail")
    parser.add_argument("--to", default="", help="who looks into it, for assign")
    parser.add_argument("--act", action="store_true", help="rejudge: write the new verdicts down, and act on them")
    confirm.add_arguments(parser)
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status is 0 only when everything that was asked for was done."""
    _refuse_what_is_not_heeded(options)
    client = connect.connect(options)
    if options.do == "list":
        return _list(client, options)
    if options.do == "manual":
        return _manual(client, options)
    if options.do == "rejudge":
        return _rejudge(client, options)
    if options.do == "show":
        return _show(client, options)
    if not options.why and options.do != "assign":
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.do in ("note", "assign"):
        return _tell(client, options)
    return _move(client, options) if options.job else _move_many(client, options)


def _refuse_what_is_not_heeded(options: argparse.Namespace) -> None:
    """Raise UsageError for words that this verb would pass over: nobody may think that they choose something."""
    if options.job and options.do in LISTS:
        raise UsageError(
            f"{options.do} takes no numbers of jobs.", advice=f"Write: pilotext jobs show {options.job[0]}."
        )
    chosen = [*_choice(options), *(["all-tasks"] if options.all_tasks else [])]
    if chosen and (options.job or options.do in ("show", "note", "assign")):
        advice = "Give numbers of jobs, or a choice; not both."
        raise UsageError(f"--{chosen[0]} is not heeded where jobs are named by number.", advice=advice)
    for option, given, word in (("act", options.act, "rejudge"), ("to", options.to, "assign")):
        if given and options.do != word:
            raise UsageError(f"--{option} is for {word} only.")


def _choice(options: argparse.Namespace) -> dict[str, object]:
    return {name: getattr(options, name) for name in (*FILTERS, "run") if getattr(options, name) is not None}


def _filter(options: argparse.Namespace) -> JobFilter:
    try:
        return from_plain(_choice(options), JobFilter)
    except FieldError as error:
        raise UsageError(f"no such choice of jobs: {error}") from None


def _whose(options: argparse.Namespace) -> None:
    """Raise UsageError for a decision on many that does not say whose jobs it means."""
    if options.task is None and not options.all_tasks:
        advice = "Give --task NAME, or --all-tasks for every task."
        raise UsageError("of which task?", advice=advice)
    if options.task is not None and options.all_tasks:
        raise UsageError("--task and --all-tasks are both given.", advice="Give one of them.")


def _list(client: Client, options: argparse.Namespace) -> int:
    found = pages(client, "/api/v1/jobs", JobList, _choice(options), name="jobs", most=options.limit)
    if options.json:
        write_json(JobList(tuple(found), None))
        return Exit.SUCCESS
    head = ("job", "task", "what", "run-chunk", "state", "tries", "code", "cause", "diag")
    show(
        head,
        [
            (
                row.job,
                row.task,
                row.product or row.type,
                f"{row.run}-{row.chunk}",
                row.state,
                row.attempts,
                row.code,
                row.cause,
                row.diag[:60],
            )
            for row in found
        ],
    )
    if len(found) == options.limit:
        say("... there may be more; see --limit")
    return Exit.SUCCESS


def _manual(client: Client, options: argparse.Namespace) -> int:
    found = pages(client, "/api/v1/manual", WorkList, _choice(options), name="items", most=options.limit)
    if options.json:
        write_json(WorkList(tuple(found), None))
    else:
        say("\n\n".join(map(work_of, found)) or "nothing waits for a decision")
    return Exit.SUCCESS


def _show(client: Client, options: argparse.Namespace) -> int:
    found = [client.get(f"/api/v1/jobs/{job}", JobPage) for job in _named(options)]
    write_json(found) if options.json else say("\n\n".join(map(page_of, found)))
    return Exit.SUCCESS


def _tell(client: Client, options: argparse.Namespace) -> int:
    for job in _named(options):
        said = Note(options.why) if options.do == "note" else Assignment(options.to, options.why or "assigned")
        client.post(f"/api/v1/jobs/{job}/{options.do}", said, Moved)
    return Exit.SUCCESS


def _move(client: Client, options: argparse.Namespace) -> int:
    moved, hindered = [], {}
    for job in options.job:
        try:
            done = client.post(f"/api/v1/jobs/{job}/move", Move(options.do, options.why), Moved).moved
        except ServerError as error:
            if error.status != CONFLICT:
                raise
            hindered[job] = error.message
            continue
        if done:
            moved.append(job)
        else:
            hindered[job] = f"job {job} is in no state to {options.do}"
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        say("\n".join([*(f"{options.do}: job {job}" for job in moved), *map(one_line, hindered.values())]))
    return Exit.SUCCESS if not hindered else Exit.USAGE


def _move_many(client: Client, options: argparse.Namespace) -> int:
    chosen = _filter(options)
    if chosen == JobFilter():
        raise UsageError("which jobs?", advice="Give their numbers, or a choice such as --task NAME --state manual.")
    _whose(options)
    asked = BulkMove(options.do, options.why, chosen, all_tasks=options.all_tasks, dry_run=True)
    would = client.post("/api/v1/jobs/move", asked, BulkMoved)
    if would.left:
        question = f"{options.do} these {would.left} jobs?"
        confirm.confirm(_preview(options.do, would), would, question, options)
    moved: list[int] = []
    hindered: dict[int, str] = {}
    after: int | None = 0
    with progress(options.do) as tell:
        while after is not None:
            asked = BulkMove(options.do, options.why, chosen, after, all_tasks=options.all_tasks)
            done = client.post("/api/v1/jobs/move", asked, BulkMoved)
            moved += done.moved
            hindered |= {one.job: one.why for one in done.hindered}
            after = done.next
            tell(len(moved), len(moved) + done.left)
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        said = [f"{options.do}: {len(moved)} jobs", *(f"job {job}: {why}" for job, why in hindered.items())]
        say("\n".join(map(one_line, said)))
    return Exit.SUCCESS if moved and not hindered else Exit.USAGE


def _preview(word: str, would: BulkMoved) -> str:
    """The lines that say what a decision on many will do."""
    assert would.preview is not None, "it was asked for"
    preview, why = would.preview, {one.job: one.why for one in would.hindered}
    lines = [f"{word} would move {preview.jobs} jobs:"]
    lines += [
        f"  {each.jobs} {each.state} of {each.task}" + ("" if each.moves else ": stay as they are")
        for each in preview.counts
    ]
    lines += [f"  {_short(row)}" + (f": {why[row.job]}" if row.job in why else "") for row in preview.first]
    if preview.jobs > len(preview.first):
        lines.append(f"  ... and {preview.jobs - len(preview.first)} more")
    return "\n".join(map(one_line, lines))


def _short(row: JobRow) -> str:
    return (
        f"job {row.job} of {row.task}: {row.product or row.type} {row.run}-{row.chunk}, {row.state} {row.code}".rstrip()
    )


def _rejudge(client: Client, options: argparse.Namespace) -> int:
    if options.act and not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.act and not options.job:
        _whose(options)
    found = _rejudged(client, options, act=False)
    if options.act and found.changed:
        question = f"write down these {len(found.changed)} verdicts, and act on them?"
        if not options.job:
            confirm.confirm(_verdicts(found.changed[:MAX_SHOWN]), found, question, options)
        found = _rejudged(client, options, act=True)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    show(CHANGED, [_changed(row) for row in found.changed])
    said = f"{found.looked_at} attempts looked at, {len(found.changed)} judged otherwise"
    say(said + ("" if options.act else "; see --act"))
    return Exit.SUCCESS


def _verdicts(changed: tuple[Reclassified, ...]) -> str:
    return table(CHANGED, [[str(cell) for cell in _changed(row)] for row in changed])


def _changed(row: Reclassified) -> tuple[object, ...]:
    return row.job, row.attempt, row.before, row.after, row.rule, row.decision, row.diag


def _rejudged(client: Client, options: argparse.Namespace, *, act: bool) -> BulkReclassified:
    """What the rules of today say of all of the choice, some at a time."""
    changed: list[Reclassified] = []
    looked_at, after = 0, 0
    with progress("rejudge") as tell:
        while True:
            asked = Reclassify(
                _filter(options), act, options.why or "", after, all_tasks=options.all_tasks, only=tuple(options.job)
            )
            done = client.post("/api/v1/jobs/rejudge", asked, BulkReclassified)
            looked_at += done.looked_at
            changed += done.changed
            tell(looked_at, looked_at + done.left)
            if done.next is None:
                return BulkReclassified(looked_at, tuple(changed), None, 0)
            after = done.next


def _named(options: argparse.Namespace) -> list[int]:
    if not options.job:
        raise UsageError("which job?", advice="Give its number.")
    jobs: list[int] = options.job
    return jobs
