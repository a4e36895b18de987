"""The command, whose agent writes down every report that the server has taken: for tests that kill the server.

    python -m tests.support.telling_agent agent ...

appends `JOB ATTEMPT ACCEPTED` to the file that $PILOTEXT_TEST_ACKNOWLEDGED names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

from pilotext.api.client import Client
from pilotext.api.schemas.attempts import ReportAnswer
from pilotext.cli.main import main
from pilotext.model.report import Report

_report = Client.report


def _told(client: Client, attempt: int, token: str, report: Report) -> ReportAnswer:
    answer = _report(client, attempt, token, report)
    with Path(os.environ["PILOTEXT_TEST_ACKNOWLEDGED"]).open("a") as file:
        file.write(f"{report.job.job} {attempt} {answer.accepted}\n")
    return answer


if __name__ == "__main__":
    with patch.object(Client, "report", _told):
        sys.exit(main(sys.argv[1:]))
