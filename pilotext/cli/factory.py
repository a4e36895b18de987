"""`pilotext factory`: keep agents or pilots queued on batch systems, and list the factories that do."""

from __future__ import annotations

import argparse
import signal

from pilotext.api.client import Client
from pilotext.api.schemas.factories import FactoryLabelRow, FactoryList, FactoryRow
from pilotext.cli import connection
from pilotext.cli.arguments import FilePath
from pilotext.cli.output import say, write_text
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.tables import print_table, write_json
from pilotext.engines.factory import FactoryRun, only_one
from pilotext.engines.script import script_of
from pilotext.engines.settings import FactoryFile, read_factory_file
from pilotext.errors import UsageError, did_you_mean, known_words
from pilotext.formatting import clock, counted_words
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", action=FilePath, metavar="FILE", help="the factory file")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--once", action="store_true", help="end after one cycle")


def _run(options: argparse.Namespace) -> int:
    """Run cycles until SIGTERM; batch jobs go on."""
    file = read_factory_file(options.file)
    factory = _factory(file)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: factory.stop.set())
    with only_one(file):
        _tell(f"factory {file.name} starts agents and pilots for {file.server}: {', '.join(file.labels)}")
        if options.once:
            factory.cycle()
        else:
            factory.work()
    return Exit.SUCCESS


def _add_label_arguments(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("label", metavar="LABEL", help="a label of the file")


def _script(options: argparse.Namespace) -> int:
    file = read_factory_file(options.file)
    if file.labels[_known(file, options.label)].panda is not None:
        raise UsageError(f"label {options.label} has no script: its jobs are started by pilots of PanDA.")
    write_text(script_of(file, options.label, _factory(file).engines[options.label]))
    return Exit.SUCCESS


def _cancel(options: argparse.Namespace) -> int:
    file = read_factory_file(options.file)
    number = _factory(file).cancel(_known(file, options.label))
    say(f"cancel: {counted_words(number, 'batch job')}")
    return Exit.SUCCESS


def _list(options: argparse.Namespace) -> int:
    found = connection.connect(options).get("/api/v1/factories", FactoryList)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    head = ("factory", "label", "site", "system", "requested", "submitted", "queued", "running", "with job")
    rows = [_cells(factory, label) for factory in found.factories for label in factory.labels]
    print_table((*head, "without", "failed", "seen", "message"), rows)
    return Exit.SUCCESS


def _cells(factory: FactoryRow, row: FactoryLabelRow) -> tuple[object, ...]:
    counts = (row.requested, row.submitted, row.queued, row.running, row.with_job, row.without_job, row.failed)
    seen = f"{clock(factory.seen)}{' (silent)' if factory.silent else ''}"
    message = f"{clock(row.message_at)} {row.message}" if row.message else "-"
    return factory.name, row.label, row.site, row.system, *counts, seen, message


def _factory(file: FactoryFile) -> FactoryRun:
    return FactoryRun(file, Client(file.server, connection.token_in_file(file.token_file)), _tell)


def _tell(text: str) -> None:
    say(f"pilotext: {one_line(text)}", stream=2)


def _known(file: FactoryFile, label: str) -> str:
    if label not in file.labels:
        advice = did_you_mean(label, file.labels, otherwise=known_words(file.labels))
        raise UsageError(f"factory {file.name} has no label {label!r}.", advice=advice)
    return label


NOUN = Noun(
    {
        "list": Verb(
            "list factories, with what they have submitted and what is queued and running",
            "pilotext factory list",
            connection.add_arguments,
            _list,
        ),
        "run": Verb(
            "keep agents or pilots queued on batch systems until SIGTERM",
            "pilotext factory run factory.yaml",
            _add_run_arguments,
            _run,
        ),
        "script": Verb(
            "print the script of the batch jobs of a label",
            "pilotext factory script factory.yaml short",
            _add_label_arguments,
            _script,
        ),
        "cancel": Verb(
            "end all batch jobs of a label",
            "pilotext factory cancel factory.yaml short",
            _add_label_arguments,
            _cancel,
        ),
    },
    default="list",
)
