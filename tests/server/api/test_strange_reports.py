"""Reports through the API whose texts no database would keep as they are: none of them may be lost."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pilotext.redaction import MAX_TEXT_CHARACTERS
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402

from pilotext.server.production.dispatch.dispatcher import Lease  # noqa: E402  needs boot
from pilotext.server.production.models import Attempt, AttemptReport, Output, Signature  # noqa: E402
from pilotext.server.production.statistics.jobs import describe_job as job_page  # noqa: E402
from tests.server.calls import Answered, request  # noqa: E402
from tests.server.support import leased, report_of, submit, the_job  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

MARK = "%MARK%"
"""Stands in a report for what is put there as it is, since no encoder would write it."""


def deliver(given: Lease, body: bytes) -> Answered:
    return request(Application(), "POST", f"/api/v1/attempts/{given.attempt}/report", body, token=given.token)


def plain_report(given: Lease, **verdict: Any) -> dict[str, Any]:
    """A report on a failure, as plain data; its evidence is the line `** MARK`."""
    report: dict[str, Any] = msgspec.to_builtins(report_of(given, cause="crash", action="retry"))
    line = {"rule": "r", "stream": "stderr", "line": 1, "offset": 0, "text": f"** {MARK}"}
    report["verdict"] |= {"diag": f"it said {MARK}", "evidence": [{**line, "before": [MARK], "after": []}], **verdict}
    return report


def kept_text() -> str:
    verdict = job_page(the_job().pk).verdict
    assert verdict is not None
    return verdict.evidence[0].text


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (rb"\u0000", "\ufffd"),
        (rb"a\u0000b\u0000", "a\ufffdb\ufffd"),
        (rb"\\u0000", r"\u0000"),
        (rb"\ud800", "\ufffd"),
        (rb"\udc80x\uDBFF", "\ufffdx\ufffd"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x07\x1b[1m", "\x07\x1b[1m"),
        (b"\x00", "\ufffd"),
    ],
)
@pytest.mark.fault("report", "texts that no database keeps")
def test_a_report_is_taken_whatever_its_texts_hold(written: bytes, kept: str) -> None:
    submit()
    given = leased()
    body = json.dumps(plain_report(given)).encode().replace(MARK.encode(), written)
    first = deliver(given, body)
    assert (first.status, first.json) == (200, {"accepted": True, "why": ""})
    assert kept_text() == f"** {kept}"
    assert (Attempt.objects.get().state, the_job().diag) == ("failed", f"it said {kept}")
    assert deliver(given, body).json == {"accepted": True, "why": "it was taken before"}


def test_what_people_type_is_still_refused() -> None:
    submit()
    given = leased()
    body = rb'{"phase": "payload\u0000"}'
    refused = request(Application(), "POST", f"/api/v1/attempts/{given.attempt}/heartbeat", body, token=given.token)
    assert refused.status == 422
    assert "U+0000" in refused.json["message"]


def test_texts_of_any_length_are_taken_and_bounded() -> None:
    submit()
    given = leased()
    long = "x" * 100_000
    report = plain_report(given, diag=long, code=long, rule=long, signature=long)
    report["host"] = long
    report["verdict"]["evidence"][0]["text"] = long
    assert deliver(given, json.dumps(report).encode()).status == 200
    assert len(kept_text()) == MAX_TEXT_CHARACTERS
    attempt = Attempt.objects.get()
    texts = (attempt.diag, attempt.code, attempt.rule, attempt.node, the_job().diag, the_job().code)
    assert all(0 < len(text) <= 1000 for text in texts), [len(text) for text in texts]
    assert len(Signature.objects.get().signature) <= 100
    assert len(AttemptReport.objects.get().report) < 10 * MAX_TEXT_CHARACTERS


@pytest.mark.parametrize("counter", [b"1e300", b"123456789012345678901234567890", b"-5", b"null", b"NaN", b"1e999"])
def test_counters_that_a_log_made_up_do_not_keep_a_report_away(counter: bytes) -> None:
    submit()
    given = leased()
    report = msgspec.to_builtins(report_of(given))
    report["verdict"]["counters"] = {"events_processed": MARK, "events_written": MARK}
    body = json.dumps(report).encode().replace(f'"{MARK}"'.encode(), counter)
    assert deliver(given, body).json == {"accepted": True, "why": ""}
    assert (the_job().state, the_job().events_done) == ("finished", None)
    assert Output.objects.get(kind="mdst").events is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (rb'"\u0000', "not a JSON document"),
        (rb'{"pilotext": "\u0000"}', "missing"),
    ],
)
def test_what_is_no_report_is_refused_however_strange(body: bytes, words: str) -> None:
    submit()
    given = leased()
    refused = deliver(given, body)
    assert refused.status == 422
    assert words in refused.json["message"]
    assert AttemptReport.objects.count() == 0


@pytest.mark.parametrize("field", ["exit_status", "number"])
def test_a_number_that_no_wrapper_sends_is_refused_and_is_no_mistake_of_the_server(field: str) -> None:
    submit()
    given = leased()
    report = plain_report(given)
    (report if field == "exit_status" else report["verdict"])[field] = 10**12
    refused = deliver(given, json.dumps(report).encode())
    assert refused.status == 422
    assert the_job().state == "sent"
