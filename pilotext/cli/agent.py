"""`pilotext agent`: pulls jobs from the server and runs them here."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.engines.agent import Agent, Settings
from pilotext.engines.kept import IN_SLOT_S
from pilotext.model.codes import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    connect.add_arguments(parser)
    parser.add_argument("--site", required=True, help="the queue whose jobs it runs")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="jobs at once (default: 1)")
    parser.add_argument("--workdir", type=Path, default=Path("pilotext-agent"), help="(default: pilotext-agent)")
    parser.add_argument("--name", default="", help="its name for good (default: one of its own)")
    parser.add_argument("--jobs", type=int, metavar="N", help="end after so many jobs")
    parser.add_argument("--idle", type=float, metavar="S", help="end when there was no job for so many seconds")
    parser.add_argument("--stop-within", type=float, metavar="S", help="after SIGTERM, jobs have S seconds more")
    parser.add_argument(
        "--keep-after",
        type=float,
        default=IN_SLOT_S,
        metavar="S",
        help=f"a job whose storage is away leaves its outputs to the agent after S seconds (default: {IN_SLOT_S:.0f})",
    )
    parser.add_argument("--keep", action="store_true", help="keep the work directories")


def run(options: argparse.Namespace) -> int:
    """Work until SIGTERM (running jobs are brought to their end), or until what the options say."""
    url, token = connect.address(options)
    settings = Settings(
        url=url,
        token=token,
        site=options.site,
        folder=options.workdir.resolve(),
        name=options.name,
        slots=options.slots,
        most_jobs=options.jobs,
        idle_s=options.idle,
        stop_within_s=options.stop_within,
        keep_after_s=options.keep_after,
        keep=options.keep,
    )
    agent = Agent(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.drain())
    done = agent.run()
    say(f"{done} jobs done")
    return Exit.SUCCESS
