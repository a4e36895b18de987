"""The report files: whole at every moment, and what the pilot reads."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.decode import from_json
from pilotext.model import JobIdentity, Report, ReportTarget, Verdict
from pilotext.storage.transfer import no_tick
from pilotext.worker import report as reports
from tests.support.jobs import make_job


def make_report(**fields: object) -> Report:
    verdict = Verdict(verdict="failure", code="COMPASS-1241", number=581241, diag="COMPASS-1241 cannot-allocate: x")
    standard: dict[str, object] = {
        "pilotext": "0",
        "job": JobIdentity.of(make_job()),
        "state": "failed",
        "phase": "payload",
        "exit_status": 66,
        "verdict": verdict,
        "started": 1.0,
    }
    return Report(**{**standard, **fields})  # type: ignore[arg-type]


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    report = make_report()
    reports.write(report, tmp_path)
    assert from_json((tmp_path / "job.report.json").read_bytes(), Report) == report


def test_the_pilot_gets_code_and_diag_of_a_failure(tmp_path: Path) -> None:
    reports.write(make_report(), tmp_path)
    told = json.loads((tmp_path / "payload_error_report.json").read_bytes())
    assert told == {"error_code": 581241, "error_diag": "COMPASS-1241 cannot-allocate: x"}


def test_the_pilot_gets_code_0_for_a_good_job(tmp_path: Path) -> None:
    reports.write(make_report(verdict=Verdict(verdict="success"), exit_status=0), tmp_path)
    assert json.loads((tmp_path / "payload_error_report.json").read_bytes())["error_code"] == 0


def test_a_report_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports.write(make_report(phase="stage-in"), tmp_path)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        reports.write(make_report(phase="payload"), tmp_path)
    assert from_json((tmp_path / "job.report.json").read_bytes(), Report).phase == "stage-in"


class Server(http.server.BaseHTTPRequestHandler):
    """Takes reports, after as many refusals as it is told."""

    refusals = 0
    taken: list[tuple[str | None, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = type(self)
        if kind.refusals > 0:
            kind.refusals -= 1
            self.send_error(503)
            return
        kind.taken.append((self.headers["Authorization"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    monkeypatch.setattr(Server, "taken", [], raising=False)
    monkeypatch.setattr(reports, "_DELIVERY_WAIT_S", 0.01)
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def target(server: http.server.HTTPServer) -> ReportTarget:
    return ReportTarget(url=f"http://127.0.0.1:{server.server_port}/report", token="secret-of-this-attempt")


@pytest.mark.parametrize("refusals", [0, 2])
def test_a_report_is_delivered_with_its_token_also_to_a_busy_server(
    server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    monkeypatch.setattr(Server, "refusals", refusals)
    report = make_report()
    assert reports.deliver(report, target(server), no_tick) == ""
    ((token, body),) = Server.taken
    assert token == "Bearer secret-of-this-attempt"
    assert from_json(body, Report) == report


def test_a_report_that_nobody_takes_is_said_without_the_token(
    server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "refusals", 99)
    problem = reports.deliver(make_report(), target(server), no_tick)
    assert "503" in problem
    assert "secret" not in problem
