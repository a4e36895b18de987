"""`pilotext jobs note` and `pilotext jobs assign`: what people tell each other about jobs."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.fields import Moved, Note
from pilotext.api.schemas.jobs import Assignment
from pilotext.cli import connection
from pilotext.cli.decisions import add_reason
from pilotext.cli.jobs.choice import add_numbers
from pilotext.model.codes import Exit


def add_note_arguments(parser: argparse.ArgumentParser) -> None:
    add_numbers(parser, required=True)
    parser.add_argument("--why", required=True, metavar="NOTE", help="the note, which the audit trail keeps")
    connection.add_arguments(parser)


def note(options: argparse.Namespace) -> int:
    return _post(options, "note", Note(options.why))


def add_assign_arguments(parser: argparse.ArgumentParser) -> None:
    add_numbers(parser, required=True)
    parser.add_argument("--to", default="", metavar="PERSON", help="who investigates it (default: nobody)")
    add_reason(parser, required=False)
    connection.add_arguments(parser)


def assign(options: argparse.Namespace) -> int:
    return _post(options, "assign", Assignment(options.to, options.why or "assigned"))


def _post(options: argparse.Namespace, verb: str, body: Note | Assignment) -> int:
    client = connection.connect(options)
    for job in options.job:
        client.post(f"/api/v1/jobs/{job}/{verb}", body, Moved)
    return Exit.SUCCESS
