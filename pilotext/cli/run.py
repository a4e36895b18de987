"""`pilotext run`: one job, from stage-in to report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from pilotext.codes import Exit
from pilotext.model import Job, Report
from pilotext.rules.loader import load_rules
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import ChildMover
from pilotext.worker import jobfile
from pilotext.worker.lifecycle import run_job
from pilotext.worker.stop import StopSwitch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("job", nargs="?", type=Path, metavar="JOB.json", help="the job file")
    job.add_argument("--spec", metavar="BASE64", help="the job itself, its JSON document in Base64")
    job.add_argument("--job-url", metavar="URL", help="fetch the job from this http(s) address")
    parser.add_argument(
        "--workdir", type=Path, default=Path(), metavar="DIR", help="the work directory (default: the current one)"
    )
    parser.add_argument("--rules", type=Path, action="append", default=[], metavar="DIR", help="a further rule folder")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")


def run(options: argparse.Namespace) -> int:
    """Run the job; the exit status says in which phase it failed (see docs/operations.md)."""
    switch = StopSwitch()
    with switch.listening():
        job = _read_job(options)
        ruleset = load_rules(job.experiment, options.rules)
        mover = ChildMover(stall_s=job.limits.transfer_stall_s, tick=switch.tick)
        report = run_job(
            job,
            options.workdir.resolve(),
            ruleset,
            mover=mover,
            policy=Policy(tries=job.limits.transfer_tries, first_wait_s=job.limits.transfer_wait_s),
            switch=switch,
            warn=lambda sentence: print(f"pilotext: {sentence}", file=sys.stderr),
        )
    _print(report, as_json=options.json)
    return Exit(report.exit_status)


def _read_job(options: argparse.Namespace) -> Job:
    if options.spec is not None:
        return jobfile.read_spec(options.spec)
    if options.job_url is not None:
        return jobfile.read_url(options.job_url)
    return jobfile.read_file(options.job)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    from pilotext.cli.summary import render  # noqa: PLC0415

    print(render(report))
