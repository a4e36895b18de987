"""The page of the factories."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pilotext.api.schemas.factories import FactoryReport, LabelReport
from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.dispatch.factories import accept_report  # noqa: E402
from pilotext.server.production.models import Factory  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import SITE, site  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


def label(name: str = "short", **fields: Any) -> LabelReport:
    return LabelReport(**{"label": name, "site": SITE, "system": "slurm", "starts": "agent", **fields})


def report(*labels: LabelReport, name: str = "f1", **fields: Any) -> None:
    said = FactoryReport(name, time.time() - 60, labels, "submit1", "1.0", **fields)
    transact(lambda: accept_report(said, {SITE: site()}))


def test_the_page_shows_every_label_and_no_text_of_others_as_markup() -> None:
    remember_all()
    report(
        label(
            requested=31, submitted=29, failed=2, queued=7, running=None, message=HOSTILE, message_at=time.time() - 7200
        )
    )
    report(label("pilots", starts="pilot"), name="f2")
    Factory.objects.filter(name="f2").update(seen=earlier(now(), 10_000))
    answer = browser("viewer").get("/factory")
    text = text_of(answer)
    assert_harmless(text)
    for part in ("f1", "submit1", "short", SITE, ">31<", ">29<", ">7<", "2 h ago", "silent", "pilots"):
        assert part in text


def test_the_page_needs_a_bounded_number_of_queries() -> None:
    remember_all()
    client = browser("viewer")
    client.get("/factory")
    counts = []
    for number in (1, 30):
        for name in range(number):
            report(label(), label("long"), name=f"f{name}")
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/factory").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12


def test_a_page_without_a_factory_says_how_to_start_one() -> None:
    assert "pilotext factory run FILE" in text_of(browser("viewer").get("/factory"))
