"""The three report files, whole at every moment, and the delivery of the report to its server.

`job.report.json` is ours. The pilot reads `payload_error_report.json` for the error code and diag (pilot3
`control/payload.py`, since 3.7.6.6), and sends the text of `jobReport.json` to its server as the job's metadata.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from pilotext.model import Report, ReportTarget
from pilotext.storage.transfer import pause
from pilotext.worker.bounded import NotInTimeError, bounded

REPORT_NAME = "job.report.json"
PILOT_ERROR_NAME = "payload_error_report.json"
PILOT_METADATA_NAME = "jobReport.json"
REPORT_NAMES = (REPORT_NAME, PILOT_ERROR_NAME, PILOT_METADATA_NAME)

RESERVED_BYTES = 512 * 1024

_DELIVERY_TRIES = 3
_DELIVERY_WITHIN_S = 20.0
_DELIVERY_WAIT_S = 1.0


def write(report: Report, directory: Path) -> None:
    """Write the three files, each whole or not at all: whoever reads one sees the old text or the new one."""
    _replace(directory / REPORT_NAME, msgspec.json.format(msgspec.json.encode(report), indent=2))
    _replace(directory / PILOT_ERROR_NAME, msgspec.json.encode(pilot_error(report)))
    _replace(directory / PILOT_METADATA_NAME, msgspec.json.encode(pilot_metadata(report)))


def discard(directory: Path) -> None:
    """Remove the reports of an earlier attempt: they say nothing of a job that was refused."""
    for name in REPORT_NAMES:
        with contextlib.suppress(OSError):
            (directory / name).unlink(missing_ok=True)


def pilot_error(report: Report) -> dict[str, int | str]:
    """What the pilot makes exeErrorCode and exeErrorDiag of; code 0 tells it to take no notice."""
    return {"error_code": report.verdict.number, "error_diag": report.verdict.diag}


def pilot_metadata(report: Report) -> dict[str, object]:
    """The summary that goes to the pilot's server: small, and in the fields that job reports usually have."""
    verdict = report.verdict
    return {
        "exitCode": report.exit_status,
        "exitMsg": verdict.diag or "OK",
        "pilotext": {
            "version": report.pilotext,
            "state": report.state,
            "phase": report.phase,
            "code": verdict.code,
            "cause": verdict.cause,
            "action": verdict.action,
            "rule": verdict.rule,
            "counters": verdict.counters,
            "outputs": [{"name": file.name, "size": file.size, "adler32": file.adler32} for file in report.outputs],
        },
    }


def deliver(report: Report, target: ReportTarget, tick: Callable[[], None]) -> str:
    """Send the report to its server. Returns an empty string, or the sentence that says why it was not taken.

    `tick` is called several times a second and may raise. Neither the token nor anything that a server says in its
    answer gets into the sentence.
    """
    problem = ""
    for number in range(_DELIVERY_TRIES):
        pause(_DELIVERY_WAIT_S * number, tick)
        try:
            status = bounded(lambda: _post(report, target), within_s=_DELIVERY_WITHIN_S, tick=tick)
        except NotInTimeError as error:
            problem = str(error)
        except OSError as error:  # requests' own errors are all of this class
            problem = type(error).__name__
        else:
            if 200 <= status < 300:
                return ""
            problem = f"the server answers with status {status}"
    return f"the report was not delivered to {target.url}: {problem}"


def _post(report: Report, target: ReportTarget) -> int:
    """The status of the server's answer; its body is not read."""
    import requests  # noqa: PLC0415  only jobs with a server pay for it

    class Bearer(requests.auth.AuthBase):
        """An authentication of our own, since requests would prefer one from a .netrc file to a mere header."""

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {target.token}"
            return request

    with requests.post(
        target.url,
        data=msgspec.json.encode(report),
        headers={"Content-Type": "application/json"},
        auth=Bearer(),
        timeout=_DELIVERY_WITHIN_S,
        allow_redirects=False,
        stream=True,
    ) as answer:
        return answer.status_code


class Reserve:
    """Room on the disk that is kept for the last report of a job whose payload has filled everything."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ".pilotext.reserve"

    def take(self) -> None:
        """Take the room, with bytes that are really written. Raises OSError where there is none."""
        self._path.write_bytes(os.urandom(RESERVED_BYTES))

    def give_back(self) -> None:
        self._path.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
