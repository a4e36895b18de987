"""Options that choose jobs: their numbers, or properties that they have in common."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.fields import words_of
from pilotext.api.schemas.jobs import JobCause, JobFilter, JobState
from pilotext.cli.arguments import add_choices
from pilotext.errors import FieldError, UsageError
from pilotext.formatting import point_in_time
from pilotext.serialization.json import from_plain

FILTERS = (
    *("task", "state", "run", "code", "cause", "product", "signature", "assigned"),
    *("site", "node", "agent", "rule", "message", "changed_since", "changed_until"),
)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of JobFilter."""
    parser.add_argument("--task", metavar="NAME", help="only jobs of this task")
    add_choices(parser, "--state", words_of(JobState), "only jobs in this state")
    parser.add_argument("--run", type=int, metavar="N", help="only jobs of this run")
    parser.add_argument("--code", help="only jobs whose last verdict has this code, such as SHINE-1241")
    add_choices(parser, "--cause", words_of(JobCause), "only jobs whose last verdict has this cause")
    parser.add_argument("--product", metavar="MERGE", help="only jobs of this merge; '' for production jobs")
    parser.add_argument("--signature", help="only jobs that failed with this signature, which no rule knew")
    parser.add_argument("--assigned", metavar="PERSON", help="only jobs that this person investigates")
    parser.add_argument("--site", help="only jobs whose last attempt was at this site")
    parser.add_argument("--node", help="only jobs whose last attempt was on this node")
    parser.add_argument("--agent", metavar="NAME", help="only jobs whose last attempt was done by this agent")
    parser.add_argument("--rule", help="only jobs whose last attempt was judged by this rule")
    parser.add_argument("--message", metavar="TEXT", help="only jobs with this diagnosis; # stands for any number")
    parser.add_argument("--changed-since", type=_moment, metavar="TIME", help="only jobs that changed since then: 2d")
    parser.add_argument("--changed-until", type=_moment, metavar="TIME", help="only jobs that changed before then")


def _moment(text: str) -> float:
    try:
        return point_in_time(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_numbers(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the numbers of jobs."""
    text = "the number of a job" if required else "the number of a job; without any, all jobs of the choice"
    parser.add_argument("job", nargs="+" if required else "*", type=int, metavar="JOB", help=text)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add what chooses jobs for a decision: numbers or filters."""
    add_numbers(parser, required=False)
    add_filters(parser)
    parser.add_argument("--all-tasks", action="store_true", help="choose jobs of every task, in place of --task")


def filters(options: argparse.Namespace) -> dict[str, object]:
    """Return the filters that were given."""
    return {name: getattr(options, name) for name in FILTERS if getattr(options, name) is not None}


def job_filter(options: argparse.Namespace) -> JobFilter:
    try:
        return from_plain(filters(options), JobFilter)
    except FieldError as error:
        raise UsageError(f"no such choice of jobs: {error}") from None


def check_selection(options: argparse.Namespace) -> None:
    """Raise UsageError for numbers together with filters, of which one would be ignored."""
    chosen = [*filters(options), *(["all-tasks"] if options.all_tasks else [])]
    if chosen and options.job:
        advice = "Give numbers of jobs, or a choice; not both."
        raise UsageError(f"--{chosen[0]} has no effect where jobs are named by number.", advice=advice)


def check_tasks(options: argparse.Namespace) -> None:
    """Raise UsageError for a decision on many jobs that does not name their task, or name all."""
    if options.task is None and not options.all_tasks:
        raise UsageError("no task is named.", advice="Give --task NAME, or --all-tasks for every task.")
    if options.task is not None and options.all_tasks:
        raise UsageError("--task and --all-tasks are both given.", advice="Give one of them.")
