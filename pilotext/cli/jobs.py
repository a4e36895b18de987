"""`pilotext jobs`: the jobs of tasks, the list of those that need a decision, one with its history, and decisions."""

from __future__ import annotations

import argparse

from pilotext.cli import connect
from pilotext.cli.job_page import page_of, work_of
from pilotext.cli.output import say
from pilotext.cli.tables import pages, progress, show, write_json
from pilotext.codes import Exit
from pilotext.decode import from_plain
from pilotext.engines.client import Client, ServerError
from pilotext.errors import FieldError, UsageError
from pilotext.managing import Assign, JobFilter, ManyMoved, ManyMoves, ManyRejudged, Noted, Rejudge, Rejudged, WorkList
from pilotext.messages import JobList, JobPage, Move, Moved

WORDS = ("resend", "accept", "fail", "cancel")
FILTERS = {
    "task": "of this task",
    "state": "in this state",
    "code": "whose last verdict has this code",
    "cause": "whose last verdict has this cause",
    "product": "of this merge; '' for production jobs",
    "signature": "with this signature of an unknown failure",
    "assigned": "that this person looks into",
}
CONFLICT = 409


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choices = ("list", "manual", "show", *WORDS, "note", "assign", "rejudge")
    parser.add_argument("do", nargs="?", choices=choices, default="list", help="(default: list)")
    parser.add_argument("job", nargs="*", type=int, help="numbers of jobs; without, decisions are on all of the choice")
    for name, text in FILTERS.items():
        parser.add_argument(f"--{name}", help=f"only jobs {text}")
    parser.add_argument("--run", type=int, help="only jobs of this run")
    parser.add_argument("--limit", type=int, default=100, help="list at most so many (default: 100)")
    parser.add_argument("--why", help="the reason of a decision, or the note; it stands in the audit trail")
    parser.add_argument("--to", default="", help="who looks into it, for assign")
    parser.add_argument("--act", action="store_true", help="rejudge: write the new verdicts down, and act on them")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status is 0 only when everything that was asked for was done."""
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


def _choice(options: argparse.Namespace) -> dict[str, object]:
    return {name: getattr(options, name) for name in (*FILTERS, "run") if getattr(options, name) is not None}


def _filter(options: argparse.Namespace) -> JobFilter:
    try:
        return from_plain(_choice(options), JobFilter)
    except FieldError as error:
        raise UsageError(f"no such choice of jobs: {error}") from None


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
        said = Noted(options.why) if options.do == "note" else Assign(options.to, options.why or "assigned")
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
        say("\n".join([*(f"{options.do}: job {job}" for job in moved), *hindered.values()]))
    return Exit.SUCCESS if not hindered else Exit.USAGE


def _move_many(client: Client, options: argparse.Namespace) -> int:
    chosen = _filter(options)
    if chosen == JobFilter():
        raise UsageError("which jobs?", advice="Give their numbers, or a choice such as --task NAME --state manual.")
    moved: list[int] = []
    hindered: dict[int, str] = {}
    after: int | None = 0
    with progress(options.do) as tell:
        while after is not None:
            done = client.post("/api/v1/jobs/move", ManyMoves(options.do, options.why, chosen, after), ManyMoved)
            moved += done.moved
            hindered |= {one.job: one.why for one in done.hindered}
            after = done.next
            tell(len(moved), len(moved) + done.left)
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        say("\n".join([f"{options.do}: {len(moved)} jobs", *(f"job {job}: {why}" for job, why in hindered.items())]))
    return Exit.SUCCESS if moved and not hindered else Exit.USAGE


def _rejudge(client: Client, options: argparse.Namespace) -> int:
    if options.act and not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    changed: list[Rejudged] = []
    looked_at, after = 0, 0
    with progress("rejudge") as tell:
        while True:
            asked = Rejudge(_filter(options), options.act, options.why or "", after)
            done = client.post("/api/v1/jobs/rejudge", asked, ManyRejudged)
            looked_at += done.looked_at
            changed += done.changed
            tell(looked_at, looked_at + done.left)
            if done.next is None:
                break
            after = done.next
    if options.json:
        write_json(ManyRejudged(looked_at, tuple(changed), None, 0))
        return Exit.SUCCESS
    head = ("job", "attempt", "before", "now", "rule", "decision", "diag")
    show(head, [(row.job, row.attempt, row.before, row.after, row.rule, row.decision, row.diag) for row in changed])
    say(f"{looked_at} attempts looked at, {len(changed)} judged otherwise" + ("" if options.act else "; see --act"))
    return Exit.SUCCESS


def _named(options: argparse.Namespace) -> list[int]:
    if not options.job:
        raise UsageError("which job?", advice="Give its number.")
    jobs: list[int] = options.job
    return jobs
