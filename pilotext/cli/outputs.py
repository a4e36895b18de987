"""`pilotext outputs`: publish outputs that are kept on this node because their storage did not answer in time."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from pilotext.cli.arguments import FolderPath
from pilotext.cli.output import say, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line
from pilotext.storage.transfer import ChildMover, Mover, with_credentials
from pilotext.worker import kept as keeping
from pilotext.worker.delivery import OF_A_JOB, Delivery
from pilotext.worker.kept import KeepError, KeptOutputs
from pilotext.worker.kept_publishing import Outcome, publish_kept
from pilotext.worker.report_channel import KEPT_ANSWER_WITHIN_S, ReportChannel
from pilotext.worker.stop_signals import StopSwitch, ToldToStop

EXAMPLE = "pilotext outputs --flush --kept /scratch/kept"
NOT_ALL_PUBLISHED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--flush", action="store_true", help="publish all that is kept; exit with status 1 if some could not be"
    )
    text = "publish the outputs that are kept in this folder of one job"
    what.add_argument("--publish", action=FolderPath, metavar="FOLDER", help=text)
    text = "the folder of kept outputs (default: PILOTEXT_KEPT)"
    parser.add_argument("--kept", action=FolderPath, metavar="DIR", help=text)
    text = "stop after this time (default: 3600)"
    parser.add_argument("--within", type=float, default=3600.0, metavar="SECONDS", help=text)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    text = "the digest of the document in FOLDER, from the report of its job"
    parser.add_argument("--sha256", metavar="DIGEST", help=text)
    text = "the descriptor of a socket that gets the report of each job whose outputs are published"
    parser.add_argument("--report-fd", type=int, metavar="N", help=text)


def run(options: argparse.Namespace) -> int:
    """Publish, and report each job to its server; the exit status is 0 only if nothing is left to do."""
    channel = None if options.report_fd is None else ReportChannel(options.report_fd)
    folders = [options.publish] if options.publish else _waiting(options)
    switch = StopSwitch()
    outcomes: list[Outcome] = []
    deadline = time.monotonic() + options.within
    with switch.listening():
        try:
            outcomes.extend(
                _publish(folder, options.sha256, switch, channel) for folder in folders if time.monotonic() < deadline
            )
        except ToldToStop as order:
            say(f"pilotext: {order}; what is not published is kept", stream=2)
            return Exit.STOPPED
    if options.json:
        write_json(json.dumps([msgspec.to_builtins(_without_report(one)) for one in outcomes]).encode())
    else:
        for one in outcomes:
            say(one_line(f"{one.state:<10} {one.label}{': ' if one.said else ''}{one.said}"))
    if options.publish and outcomes[0].state == "lost":
        return Exit.STAGE_OUT_FAILED
    done = len(outcomes) == len(folders) and all(_is_done(one, options) for one in outcomes)
    return Exit.SUCCESS if done else NOT_ALL_PUBLISHED


def _is_done(outcome: Outcome, options: argparse.Namespace) -> bool:
    """Whether nothing is left to do; the receiver of the report reads there that a log archive still waits."""
    waits = outcome.report is not None and outcome.report.kept is not None and not options.publish
    return outcome.state == "published" and not waits


def _without_report(outcome: Outcome) -> Outcome:
    """Return the same without the report, which is long."""
    return msgspec.structs.replace(outcome, report=None)


def _waiting(options: argparse.Namespace) -> list[Path]:
    root = options.kept or os.environ.get("PILOTEXT_KEPT")
    if not root:
        raise UsageError("there is no folder of kept outputs.", advice="Name one with --kept or in PILOTEXT_KEPT.")
    try:
        return keeping.waiting(Path(root).resolve())
    except KeepError as error:
        raise UsageError(str(error)) from None


def _publish(folder: Path, sha256: str | None, switch: StopSwitch, channel: ReportChannel | None) -> Outcome:
    folder = folder.resolve()
    try:
        target = keeping.read_kept(folder, sha256).target
    except KeepError:
        target = None  # it is not used, and said so, below
    ask_agent = None if channel is None else partial(channel.ask, KEPT_ANSWER_WITHIN_S)
    outcome = publish_kept(folder, _mover, switch.tick, sha256, ask_agent)
    if outcome.report is None:
        return outcome
    if channel is not None:
        channel.send(outcome.report)
    problem = Delivery(target, os.environ).send(outcome.report, switch, OF_A_JOB)
    # Only now: until its report is sent, or waits in the spool, it may be done again. An agent removes it by itself.
    if outcome.report.kept is None and channel is None:
        keeping.remove(folder)
    return outcome if not problem else msgspec.structs.replace(outcome, said=problem)


def _mover(kept: KeptOutputs, tick: Callable[[], None]) -> Mover:
    mover = ChildMover(kept.limits.transfer_stall_s, tick, kept.limits.transfer_min_kb_s)
    return with_credentials(mover, os.environ)
