"""The catalogue of rules, one rule, and trials of changed rules in a child process."""

from __future__ import annotations

import re

import msgspec
import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.model.verdict import Evidence, Match  # noqa: E402
from pilotext.rules.loader import load_rules  # noqa: E402
from pilotext.server.pages.rules import MAX_TEXT_BYTES  # noqa: E402
from pilotext.server.production.models import Attempt  # noqa: E402
from pilotext.server.production.rule_trials import trial  # noqa: E402
from pilotext.server.production.rule_trials.patch import text_of  # noqa: E402
from tests.server.pages import browsing  # noqa: E402
from tests.server.pages.browsing import browser  # noqa: E402
from tests.server.production.rule_trials.test_child import NEW  # noqa: E402
from tests.server.support import leased, report_of, send, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12
page_of = browsing.text_of
LINE = Evidence("batch-disk", "stderr", 3, 9, "terminate called")


@pytest.fixture
def hit() -> Attempt:
    """An attempt that failed by a rule, while another one matched and was not elected."""
    submit()
    given = leased()
    report = report_of(given, cause="fatal-error", action="manual-check")
    also = (Match("batch-disk", "batch-disk", "retry", 1, (LINE,)),)
    said = {"rule": "fatal-error", "code": "COMPASS-1235", "number": 581235, "also": also}
    send(given, msgspec.structs.replace(report, verdict=msgspec.structs.replace(report.verdict, **said)))
    return Attempt.objects.get()


def test_the_catalogue_shows_hits_and_what_was_never_hit_or_never_elected(hit: Attempt) -> None:
    viewer = browser("viewer")
    shown = {which: page_of(viewer.get(f"/rules?show={which}")) for which in ("all", "hit", "never", "dropped")}
    assert ">fatal-error</a>" in shown["hit"]
    assert ">fatal-error</a>" not in shown["never"]
    assert ">batch-disk</a>" in shown["dropped"]
    assert ">batch-disk</a>" not in shown["never"]
    numbers = {which: text.count("<tr>") - 1 for which, text in shown.items()}
    assert numbers["hit"] == numbers["dropped"] == 1
    assert numbers["never"] < numbers["all"] == len(load_rules("COMPASS").rules)


def test_a_rule_shows_its_text_its_hits_and_its_relations(hit: Attempt) -> None:
    viewer = browser("viewer")
    rules = load_rules("COMPASS")
    rule = next(each for each in rules.rules if any(rules.rule(name) for name in each.text.explains))
    text = page_of(viewer.get(f"/rules/COMPASS/{rule.id}"))
    other = next(name for name in rule.text.explains if rules.rule(name))
    assert f'href="/rules/COMPASS/{other}"' in text
    assert f'href="/rules/COMPASS/{rule.id}"' in page_of(viewer.get(f"/rules/COMPASS/{other}"))
    own = page_of(viewer.get("/rules/COMPASS/fatal-error"))
    assert own.count("<dd>1</dd>") == 3
    assert "CERN_COMPASS_PROD" in own
    assert "Change it and try" not in own
    assert "Change it and try" in page_of(browser("expert").get("/rules/COMPASS/fatal-error"))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("/rules?experiment=ATLAS", "ATLAS"),
        ("/rules?show=some", "some"),
        ("/rules/COMPASS/fatal-eror", "Did you mean &#x27;fatal-error&#x27;"),
        ("/rules/ATLAS/fatal-error", "ATLAS"),
    ],
)
def test_rules_that_there_are_not_are_not_found(page: str, said: str) -> None:
    answer = browser("viewer").get(page)
    assert answer.status_code == 404
    assert said in page_of(answer)


@pytest.mark.parametrize("page", ["/rules", "/rules/COMPASS/fatal-error", "/rules/try"])
def test_pages_of_rules_cost_few_queries(page: str, hit: Attempt) -> None:
    expert = browser("expert")
    expert.get(page)
    with CaptureQueriesContext(connection) as queries:
        assert expert.get(page).status_code == 200
    assert len(queries) <= MAX_QUERIES


# --------------------------------------------------------------------------------------------------------------- trials


def test_the_page_shows_which_kept_reports_would_change(hit: Attempt) -> None:
    expert = browser("expert")
    form = text_of_rule("fatal-error").replace("action: manual-check", "action: retry")
    answer = expert.post("/rules/try", {"experiment": "COMPASS", "rules": form, "log": "", "reports": "10"})
    text = page_of(answer)
    assert answer.status_code == 200, text
    assert "Of 1 kept report" in text
    assert "-    action: manual-check" in text
    hit.refresh_from_db()
    assert hit.rule == "fatal-error", "nothing is written"


def text_of_rule(name: str) -> str:
    rule = load_rules("COMPASS").rule(name)
    assert rule is not None
    return text_of(rule, "COMPASS")


def test_hostile_logs_and_rules_stay_texts() -> None:
    log = "lost my marbles <script>alert(1)</script>\x1b[31m\u202e"
    text = page_of(browser("expert").post("/rules/try", {"rules": NEW, "log": log, "reports": "0"}))
    assert "lost-marbles" in text
    assert "<script>" not in text
    assert not re.search("[\x1b\u202e]", text)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"rules": NEW, "reports": "201"}, 422),
        ({"rules": NEW, "reports": "x"}, 422),
        ({"rules": NEW, "exit_code": "256"}, 422),
        ({"rules": NEW, "stream": "/etc/passwd"}, 404),
        ({"rules": NEW, "experiment": "../x"}, 404),
        ({"rules": "x" * (MAX_TEXT_BYTES + 1)}, 413),
    ],
)
def test_what_cannot_be_tried_is_refused(form: dict[str, str], status: int) -> None:
    assert browser("expert").post("/rules/try", form).status_code == status


def test_a_viewer_tries_nothing() -> None:
    assert browser("viewer").get("/rules/try").status_code == 403
    assert browser("viewer").post("/rules/try", {"rules": NEW}).status_code == 403


def test_a_trial_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WITHIN_S", 0.2)
    answer = browser("expert").post("/rules/try", {"rules": NEW, "log": "x", "reports": "0"})
    assert answer.status_code == 408
    assert "took longer" in page_of(answer)


def test_two_trials_do_not_run_together() -> None:
    with trial._trying:
        answer = browser("expert").post("/rules/try", {"rules": NEW, "reports": "0"})
    assert answer.status_code == 503
    assert "Another trial" in page_of(answer)
