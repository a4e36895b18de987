"""`pilotext jobs`: the jobs of tasks, one job with its history, and decisions on them."""

from __future__ import annotations

import argparse

import msgspec

from pilotext.cli import connect
from pilotext.cli.output import say, write
from pilotext.cli.summary import table
from pilotext.codes import Exit
from pilotext.errors import UsageError
from pilotext.messages import JobList, JobPage, Move, Moved

WORDS = ("resend", "accept", "fail", "cancel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", "show", *WORDS), default="list", help="(default: list)")
    parser.add_argument("job", nargs="*", type=int, help="numbers of jobs")
    for name, text in (
        ("task", "of this task"),
        ("state", "in this state"),
        ("code", "with this last code"),
    ):
        parser.add_argument(f"--{name}", help=f"only jobs {text}")
    parser.add_argument("--run", type=int, help="only jobs of this run")
    parser.add_argument("--limit", type=int, default=100, help="at most so many (default: 100)")
    parser.add_argument("--why", help="the reason of a decision; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List, show or decide; the exit status is 0 only when every job named was moved."""
    client = connect.connect(options)
    if options.do == "list":
        query = {name: getattr(options, name) for name in ("task", "state", "code", "run", "limit")}
        found = client.get("/api/v1/jobs", JobList, query)
        say(_list(found)) if not options.json else write(msgspec.json.encode(found) + b"\n")
        return Exit.SUCCESS
    if not options.job:
        raise UsageError("which job?", advice="Give its number.")
    if options.do == "show":
        pages = [client.get(f"/api/v1/jobs/{job}", JobPage) for job in options.job]
        write(msgspec.json.encode(pages) + b"\n") if options.json else say("\n\n".join(map(_page, pages)))
        return Exit.SUCCESS
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    moves = {job: client.post(f"/api/v1/jobs/{job}/move", Move(options.do, options.why), Moved) for job in options.job}
    for job, moved in moves.items():
        say(f"{options.do}: job {job}" if moved.moved else f"job {job} is in no state to {options.do}")
    return Exit.SUCCESS if all(moved.moved for moved in moves.values()) else Exit.USAGE


def _list(found: JobList) -> str:
    rows = [
        (str(row.job), row.task, row.product or row.type, f"{row.run}-{row.chunk}", row.state, row.code, row.diag[:60])
        for row in found.jobs
    ]
    more = "\n... and more" if found.next is not None else ""
    return table(("job", "task", "what", "run-chunk", "state", "code", "diag"), rows) + more


def _page(page: JobPage) -> str:
    tries = [
        (str(each.number), each.state, each.site, each.node, each.code, each.cause, each.decision, each.diag)
        for each in page.attempts
    ]
    moves = [(f"{each.at:.0f}", each.who, f"{each.before} -> {each.after}", each.why) for each in page.events]
    head = f"job {page.job.job} of {page.job.task}: {page.job.file}, {page.job.state}"
    return "\n\n".join(
        [
            head,
            table(("attempt", "state", "site", "node", "code", "cause", "decision", "diag"), tries),
            table(("at", "who", "move", "why"), moves),
        ]
    )
