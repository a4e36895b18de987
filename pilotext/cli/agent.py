"""`pilotext agent`: pull jobs from the server and run them on this node."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime
from pathlib import Path

from pilotext.agent.agent import AgentProcess, Settings
from pilotext.agent.kept_outputs import IN_SLOT_S
from pilotext.cli import connection
from pilotext.cli.arguments import FolderPath
from pilotext.cli.output import say
from pilotext.formatting import counted_words
from pilotext.model.codes import Exit
from pilotext.rules.loader import RulesCheck

EXAMPLE = "pilotext agent --site A_SITE --slots 4 --workdir /scratch/agent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    connection.add_arguments(parser)
    parser.add_argument("--site", required=True, help="the site whose jobs it runs")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="run N jobs at once (default: 1)")
    parser.add_argument(
        "--workdir",
        action=FolderPath,
        default=Path("pilotext-agent"),
        metavar="DIR",
        help="the folder for the work directories of jobs (default: pilotext-agent)",
    )
    parser.add_argument(
        "--name",
        default="",
        help="the name of the agent (default: one made of the host's name, kept in the work directory)",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="end after N jobs")
    parser.add_argument("--idle", type=float, metavar="S", help="end when there was no job for S seconds")
    parser.add_argument(
        "--stop-within", type=float, metavar="S", help="after SIGTERM, stop jobs that run for more than S seconds"
    )
    parser.add_argument(
        "--until",
        type=_moment,
        metavar="TIME",
        help="end at this time, and take no job that may take longer: seconds since 1970, or 2026-05-31T18:00+02:00",
    )
    parser.add_argument(
        "--keep-after",
        type=float,
        default=IN_SLOT_S,
        metavar="S",
        help="a job whose storage does not answer leaves its outputs to the agent after S seconds "
        f"(default: {IN_SLOT_S:.0f})",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="print a line for each job that has ended (default on a terminal)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the work directories of jobs that have ended")


def _moment(text: str) -> float:
    """Return a point in time; one without a time zone is local."""
    return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()


def run(options: argparse.Namespace) -> int:
    """Run jobs until SIGTERM, which lets running jobs end, or until the limits of the options."""
    url, token = connection.address(options)
    settings = Settings(
        url=url,
        token=token,
        site=options.site,
        folder=options.workdir.resolve(),
        name=options.name,
        slots=options.slots,
        max_jobs=options.jobs,
        idle_s=options.idle,
        stop_within_s=options.stop_within,
        until=options.until,
        keep_after_s=options.keep_after,
        keep=options.keep,
        check_rules=RulesCheck(),
        verbose=options.verbose or sys.stderr.isatty(),
    )
    agent = AgentProcess(settings)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):  # the last is how Grid Engine and LSF warn
        signal.signal(number, lambda *_: agent.drain())
    done = agent.run()
    say(f"{counted_words(done, 'job')} done")
    return Exit.SUCCESS
