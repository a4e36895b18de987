"""The three report files, whole at every moment, and the delivery of the report to its server.

`job.report.json` is ours. The pilot reads `payload_error_report.json` for the error code and diag (pilot3
`control/payload.py`, since 3.7.6.6), and sends the text of `jobReport.json` to its server as the job's metadata.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from pilotext.model import Report, ReportTarget

REPORT_NAME = "job.report.json"
PILOT_ERROR_NAME = "payload_error_report.json"
PILOT_METADATA_NAME = "jobReport.json"
REPORT_NAMES = (REPORT_NAME, PILOT_ERROR_NAME, PILOT_METADATA_NAME)

_DELIVERY_TRIES = 3
_DELIVERY_TIMEOUT_S = 20.0
_DELIVERY_WAIT_S = 1.0


def write(report: Report, directory: Path) -> None:
    """Write the three files, each whole or not at all: whoever reads one sees the old text or the new one."""
    _replace(directory / REPORT_NAME, msgspec.json.format(msgspec.json.encode(report), indent=2))
    _replace(directory / PILOT_ERROR_NAME, msgspec.json.encode(pilot_error(report)))
    _replace(directory / PILOT_METADATA_NAME, msgspec.json.encode(pilot_metadata(report)))


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


def deliver(report: Report, target: ReportTarget) -> str:
    """Send the report to its server. Returns an empty string, or the sentence that says why it was not taken."""
    import requests  # noqa: PLC0415  only jobs with a server pay for it

    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    problem = ""
    for number in range(_DELIVERY_TRIES):
        time.sleep(_DELIVERY_WAIT_S * number)
        try:
            answer = requests.post(
                target.url, data=msgspec.json.encode(report), headers=headers, timeout=_DELIVERY_TIMEOUT_S
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            problem = f"the report was not delivered to {target.url}: {error}"
        else:
            return ""
    return problem


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
