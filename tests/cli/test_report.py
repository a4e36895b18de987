"""`pilotext report`: the spool sent by hand, and the schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.cli.main import main
from pilotext.model.job import ReportTarget
from pilotext.worker.delivery import Delivery
from pilotext.worker.stop_signals import StopSwitch
from tests.support.report_server import report_server
from tests.support.reports import make_report


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PILOTEXT_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def leave(spool: Path, url: str, token: str = "of-this-attempt") -> None:
    """Leave the report of a stopped job: it is sent once, and the server must have no time for it then."""
    stopped = StopSwitch()
    stopped.received = "SIGTERM"
    delivery = Delivery(ReportTarget(url=url, token=token), {"PILOTEXT_SPOOL": str(spool)})
    assert delivery.send(make_report(), stopped)


def test_an_empty_spool_is_flushed_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--flush"]) == 0
    assert capfd.readouterr().out == "0 sent, 0 kept, 0 set aside\n"


def test_a_waiting_report_is_sent_and_said(spool: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with report_server(503, 204) as server:
        leave(spool, server.url())
        assert len(server.requests) == 1
        assert main(["report", "--flush"]) == 0
    assert len(server.requests) == 2
    assert capfd.readouterr().out == "sent       test-1-1\n1 sent, 0 kept, 0 set aside\n"


def test_what_is_not_taken_is_told_as_json_without_the_token(spool: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with report_server(503, 410) as server:
        leave(spool, server.url())
        assert main(["report", "--flush", "--json"]) == 1
    out = capfd.readouterr().out
    (told,) = json.loads(out)["aside"]
    assert (told["label"], told["reason"]) == ("test-1-1", "the server answers with status 410")
    assert "of-this-attempt" not in out


def test_another_spool_can_be_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with report_server(503, 204) as server:
        leave(tmp_path / "other", server.url())
        assert main(["report", "--flush"]) == 0
        assert len(server.requests) == 1
        assert main(["report", "--flush", "--spool", str(tmp_path / "other")]) == 0
        assert len(server.requests) == 2


def test_a_spool_that_cannot_be_used_is_an_error_of_its_own(spool: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spool.mkdir()
    spool.chmod(0o777)
    assert main(["report", "--flush"]) == 70
    assert "others can write in this spool" in capfd.readouterr().err


def test_the_schema_goes_where_it_is_wanted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--schema", "job", "--output", str(tmp_path / "job.json")]) == 0
    assert json.loads((tmp_path / "job.json").read_text())["title"] == "A job of pilotext"
    assert main(["report", "--schema", "report"]) == 0
    assert json.loads(capfd.readouterr().out)["title"] == "A report of pilotext"


def test_one_of_the_two_must_be_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["report"])
    assert caught.value.code == 64
