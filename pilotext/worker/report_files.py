"""The three report files, whole at every moment and fit for their readers.

`job.report.json` is ours. The pilot reads `payload_error_report.json` for the error code and diag (pilot3
`control/payload.py`, since 3.7.6.6), and sends the text of `jobReport.json` to its server as the job's metadata.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from itertools import islice
from pathlib import Path

import msgspec

from pilotext.classify.verdict import MAX_DIAG_CHARS, one_line
from pilotext.model.codes import LARGEST_NUMBER
from pilotext.model.report import Report
from pilotext.redaction import Redactor
from pilotext.serialization.json import ready
from pilotext.worker.own_files import create_file, move_away, replace_file

REPORT_NAME = "job.report.json"
PILOT_ERROR_NAME = "payload_error_report.json"
PILOT_METADATA_NAME = "jobReport.json"
REPORT_NAMES = (REPORT_NAME, PILOT_ERROR_NAME, PILOT_METADATA_NAME)

RESERVED_BYTES = 512 * 1024

MAX_ENTRIES = 200
"""Counters and outputs in the pilot's metadata, which is kept in a database for every job."""

MAX_ENTRY_CHARACTERS = 256


def fit_to_travel(report: Report, redactor: Redactor) -> Report:
    """The same report without secrets, in texts that can be written and are not too long."""
    return msgspec.convert(redactor.plain(msgspec.to_builtins(report)), ready(Report))


def write(report: Report, directory: Path) -> None:
    """Write the three files, each whole or not at all: whoever reads one sees the old text or the new one.

    A work directory that the payload has removed is made again, for them alone.
    """
    directory.mkdir(exist_ok=True)
    replace_file(directory / REPORT_NAME, encoded(report))
    replace_file(directory / PILOT_ERROR_NAME, _ascii(pilot_error(report)))
    replace_file(directory / PILOT_METADATA_NAME, _ascii(pilot_metadata(report)))


def encoded(report: Report) -> bytes:
    """The report as it stands on disk, for people too."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def discard(directory: Path) -> None:
    """Remove the reports of an earlier attempt: they say nothing of a job that was refused."""
    for name in REPORT_NAMES:
        with contextlib.suppress(OSError):
            move_away(directory / name)


def pilot_error(report: Report) -> dict[str, int | str]:
    """Return the source of the pilot's exeErrorCode and exeErrorDiag; the pilot ignores code 0.

    The pilot checks neither: a code of more than 7 digits, or a diag of more bytes, breaks the update at its server.
    """
    number = report.verdict.number
    return {
        "error_code": number if 0 <= number <= LARGEST_NUMBER else 0,
        "error_diag": one_line(report.verdict.diag, MAX_DIAG_CHARS),
    }


def pilot_metadata(report: Report) -> dict[str, object]:
    """The summary that goes to the pilot's server: small, and in the fields that job reports usually have."""
    verdict = report.verdict
    counters = islice(sorted(verdict.counters.items()), MAX_ENTRIES)
    outputs = report.outputs[:MAX_ENTRIES]
    return {
        "exitCode": report.exit_status,
        "exitMsg": one_line(verdict.diag, MAX_DIAG_CHARS) or "OK",
        "pilotext": {
            "version": report.pilotext,
            "state": report.state,
            "phase": report.phase,
            "code": verdict.code,
            "cause": verdict.cause,
            "action": verdict.action,
            "rule": verdict.rule,
            "counters": {name[:MAX_ENTRY_CHARACTERS]: value for name, value in counters if math.isfinite(value)},
            "outputs": [
                {"name": file.name[:MAX_ENTRY_CHARACTERS], "size": file.size, "adler32": file.adler32}
                for file in outputs
            ],
        },
    }


def _ascii(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode("ascii")


class Reserve:
    """Room on the disk that is kept for the last report of a job whose payload has filled everything."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ".pilotext.reserve"

    def take(self) -> None:
        """Take the room, with bytes that are really written. Raises OSError where there is none."""
        with create_file(self._path) as file:
            left = RESERVED_BYTES
            while left:
                left -= file.write(os.urandom(left))

    def give_back(self) -> None:
        with contextlib.suppress(OSError):  # it is only room: whatever the payload has made of it is none of ours
            move_away(self._path)
