"""`pilotext report`: send reports that wait for their server, or print the schema of one."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator

import msgspec

from pilotext.api.flush import Flushed, flush
from pilotext.api.spool import Spool, default_folder
from pilotext.cli.arguments import FilePath, FolderPath
from pilotext.cli.output import say, write_document, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line
from pilotext.serialization.schema import SCHEMAS, schema_text
from pilotext.worker.delivery import OF_A_JOB, by_http
from pilotext.worker.stop_signals import StopSwitch, ToldToStop

EXAMPLE = "pilotext report --flush\npilotext report --schema job --output job.schema.json"
NOT_ALL_SENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--flush",
        action="store_true",
        help="send every report of the spool; exit with status 1 if some could not be sent",
    )
    what.add_argument("--schema", choices=sorted(SCHEMAS), help="print the JSON Schema of a report or of a job")
    parser.add_argument(
        "--spool", action=FolderPath, metavar="DIR", help="the spool (default: PILOTEXT_SPOOL, or that of the user)"
    )
    parser.add_argument(
        "--within", type=float, default=600.0, metavar="SECONDS", help="stop after this time (default: 600)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.add_argument("--output", action=FilePath, metavar="FILE", help="write the schema to FILE, not to stdout")


def run(options: argparse.Namespace) -> int:
    if options.flush:
        return _flush(options)
    write_document(schema_text(options.schema), options.output)
    return Exit.SUCCESS


def _flush(options: argparse.Namespace) -> int:
    folder = options.spool or default_folder(os.environ)
    if folder is None:
        raise UsageError("there is no folder for a spool.", advice="Name one with --spool or in PILOTEXT_SPOOL.")
    switch = StopSwitch()
    with switch.listening():
        try:
            flushed = flush(Spool(folder), by_http(OF_A_JOB, switch.tick), within_s=options.within)
        except ToldToStop as order:
            say(f"pilotext: {order}; the reports that were not sent are still in {folder}", stream=2)
            return Exit.STOPPED
    if options.json:
        write_json(json.dumps(msgspec.to_builtins(flushed)).encode())
    else:
        say("\n".join(_lines(flushed)))
    return NOT_ALL_SENT if flushed.kept or flushed.aside else Exit.SUCCESS


def _lines(flushed: Flushed) -> Iterator[str]:
    for label in flushed.sent:
        yield one_line(f"sent       {label}")
    for verb, reports in (("kept", flushed.kept), ("set aside", flushed.aside)):
        for told in reports:
            yield one_line(f"{verb:<10} {told.label or told.name}: {told.reason}")
    busy = f", {flushed.busy} being sent by others" if flushed.busy else ""
    yield f"{len(flushed.sent)} sent, {len(flushed.kept)} kept, {len(flushed.aside)} set aside{busy}"
