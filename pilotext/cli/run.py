"""`pilotext run`: run one job, from stage-in to report."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from pilotext.api.flush import flush
from pilotext.api.spool import Spool, SpoolError, default_folder
from pilotext.cli.arguments import FilePath, FolderPath, add_rules
from pilotext.cli.output import say, tell_pilot, write_json
from pilotext.cli.report_summary import render
from pilotext.errors import FieldError, RuleFilesError, UsageError
from pilotext.model.codes import Exit
from pilotext.model.job import Job
from pilotext.model.report import Report
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet
from pilotext.storage.transfer import ChildMover, with_credentials
from pilotext.worker import job_source as jobfile
from pilotext.worker import report_files as reports
from pilotext.worker.delivery import FLUSH_WITHIN_S, ON_THE_SIDE, by_http
from pilotext.worker.job_checks import check_type
from pilotext.worker.kept import Keeping
from pilotext.worker.lifecycle import run_job
from pilotext.worker.publishing import policy_of
from pilotext.worker.report_channel import ANSWER_WITHIN_S, ReportChannel
from pilotext.worker.stop_signals import StopSwitch, ToldToStop

EXAMPLE = "pilotext run job.json --workdir work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("job", nargs="?", action=FilePath, metavar="JOB.json", help="the job file; - reads it from stdin")
    job.add_argument("--spec", metavar="BASE64", help="the JSON document of the job, in Base64")
    job.add_argument("--job-url", metavar="URL", help="fetch the job from this http(s) address")
    text = "the work directory (default: the current one)"
    parser.add_argument("--workdir", action=FolderPath, default=Path(), metavar="DIR", help=text)
    add_rules(parser)
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    parser.add_argument(
        "--keep-outputs",
        action=FolderPath,
        metavar="DIR",
        help="keep good outputs in DIR when their storage does not answer for too long (default: PILOTEXT_KEPT)",
    )
    text = "keep them after S seconds without an answer (default: the limit of the job)"
    parser.add_argument("--keep-after", type=float, metavar="S", help=text)
    text = "the descriptor of a socket that gets every report, as a line of JSON"
    parser.add_argument("--report-fd", type=int, metavar="N", help=text)


def run(options: argparse.Namespace) -> int:
    """Run the job; the exit status says in which phase it failed (see docs/operations.md)."""
    channel = None if options.report_fd is None else ReportChannel(options.report_fd)
    workdir = _workdir(options)
    switch = StopSwitch()
    try:
        with switch.listening():
            job = _read_job(options, switch.tick)
            report = _run(job, workdir, options, switch, channel)
    except UsageError:
        reports.discard(workdir)
        raise
    except ToldToStop as order:  # there is no job yet that a report could be about
        reports.discard(workdir)
        say(f"pilotext: {order} before the job was known.", stream=2)
        return Exit.STOPPED
    if options.json:
        write_json(json.dumps(msgspec.to_builtins(report)).encode())
    else:
        say(render(report))
    if report.exit_status:
        tell_pilot(report.verdict.diag or "the job is done, but its report could not be written")
    if job.report is not None and not any(finding.name == "report-not-delivered" for finding in report.findings):
        _send_earlier_reports()  # the server is there, and this job's own report has arrived
    return Exit(report.exit_status)


def _send_earlier_reports() -> None:
    folder = default_folder(os.environ)
    if folder is None:
        return
    switch = StopSwitch()
    with switch.listening(), contextlib.suppress(ToldToStop):
        try:
            flush(Spool(folder), by_http(ON_THE_SIDE, switch.tick), within_s=FLUSH_WITHIN_S)
        except SpoolError as error:
            say(f"pilotext: {error}", stream=2)


def _run(
    job: Job, workdir: Path, options: argparse.Namespace, switch: StopSwitch, channel: ReportChannel | None
) -> Report:
    ruleset = _rules_for(job, options)
    check_type(job, ruleset.kinds)
    mover = ChildMover(job.limits.transfer_stall_s, switch.tick, job.limits.transfer_min_kb_s)
    return run_job(
        job,
        workdir,
        ruleset,
        mover=with_credentials(mover, os.environ),
        policy=policy_of(job.limits),
        switch=switch,
        warn=lambda sentence: say(f"pilotext: {sentence}", stream=2),
        tell=None if channel is None else channel.send,
        keeping=_keeping(options),
        ask=None if channel is None else partial(channel.ask, ANSWER_WITHIN_S),
    )


def _keeping(options: argparse.Namespace) -> Keeping | None:
    named = options.keep_outputs or os.environ.get("PILOTEXT_KEPT")
    return None if not named else Keeping(Path(named).resolve(), options.keep_after)


def _rules_for(job: Job, options: argparse.Namespace) -> RuleSet:
    try:
        return load_rules(job.experiment, options.rules)
    except RuleFilesError:
        raise
    except UsageError as error:
        raise FieldError("experiment", error.message, advice=error.advice) from None


def _workdir(options: argparse.Namespace) -> Path:
    try:
        workdir: Path = options.workdir.resolve()
        str(workdir).encode()
    except FileNotFoundError:
        raise UsageError("the current folder was removed; give another one with --workdir.") from None
    except UnicodeEncodeError:
        raise UsageError(f"{str(options.workdir)!r}: the name of a work directory must be valid UTF-8.") from None
    return workdir


def _read_job(options: argparse.Namespace, tick: Callable[[], None]) -> Job:
    if options.spec is not None:
        return jobfile.read_spec(options.spec)
    if options.job_url is not None:
        return jobfile.read_url(options.job_url, tick=tick)
    if str(options.job) == "-":
        return jobfile.read_stream(sys.stdin.buffer)
    job = jobfile.read_file(options.job)
    if job.report is not None and job.report.token and (problem := jobfile.take_token_out(options.job)):
        say(f"pilotext: {problem}", stream=2)
    return job
