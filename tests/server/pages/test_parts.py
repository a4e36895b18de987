"""Parts of pages that are made ready before a template sees them."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.api.schemas.runs import RunRow  # noqa: E402  needs boot
from pilotext.api.schemas.waits import Wait, WaitKind  # noqa: E402
from pilotext.server.pages.queries import whole_number  # noqa: E402
from pilotext.server.pages.run import parts_of  # noqa: E402
from pilotext.server.pages.templatetags.pages import (  # noqa: E402
    bound,
    chip,
    codes_of_rules,
    job_links,
    moment,
    rough,
    rule_link,
    rule_of_code,
    thousands,
    tone,
)
from pilotext.server.production.states import JOB, PRODUCT, TASK  # noqa: E402

pytestmark = pytest.mark.unit


def test_the_bar_of_a_run_begins_with_what_has_finished() -> None:
    parts = parts_of(RunRow("t", 7, {"manual": 1, "finished": 3}, {}))
    assert [(part.state, part.tone, part.jobs, part.share) for part in parts] == [
        ("finished", "good", 3, 75),
        ("manual", "needs", 1, 25),
    ]


@pytest.mark.parametrize("machine", [JOB, TASK, PRODUCT])
def test_only_states_without_a_result_have_the_tone_of_an_end(machine: object) -> None:
    ended = {state for state in machine.states if tone(state) == "ended"}  # type: ignore[attr-defined]
    assert ended <= {"cancelled", "archived", "cleaned"}


def test_a_state_is_a_word_and_a_tone_whatever_it_holds() -> None:
    assert chip("manual") == '<span class="chip needs">manual check</span>'
    assert "<b>" not in chip("<b>\n")


def test_moments_have_their_age() -> None:
    assert "\N{EN DASH}" in moment(None)
    assert re.search(r"2001-09-09T01:46:40Z.*2001-09-09 01:46 .* d ago", moment(1e9))


@pytest.mark.parametrize(("seconds", "words"), [(59.0, "59 s"), (150.0, "2 min"), (7200.0, "2 h"), (200_000.0, "2 d")])
def test_ages_are_in_their_largest_unit(seconds: float, words: str) -> None:
    assert rough(seconds) == words


def test_numbers_have_thin_spaces_and_what_is_not_known_a_dash() -> None:
    assert thousands(1234567) == "1\u2009234\u2009567"
    assert thousands(None) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("text", "most", "number"),
    [
        ("17", 100, 17),
        ("0", 100, 0),
        ("0000000365", 365, 365),
        ("0000003660", 365, None),
        ("101", 100, None),
        ("9" * 5000, 2**31, None),
        ("", 100, None),
        ("-1", 100, None),
        ("1.5", 100, None),
        ("\u0661", 100, None),
        ("\u00b2", 100, None),
    ],
)
def test_a_number_of_an_address_is_whole_and_bounded(text: str, most: int, number: int | None) -> None:
    assert whole_number(text, most) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("attempt 2 of job 41 tries it", 'attempt 2 of <a href="/jobs/41">job 41</a> tries it'),
        ("job 1 and job 22", '<a href="/jobs/1">job 1</a> and <a href="/jobs/22">job 22</a>'),
        ("3 jobs failed", "3 jobs failed"),
        ("cut in the middle of job 12…", "cut in the middle of job 12…"),
        ("job 5 <b>", '<a href="/jobs/5">job 5</a> &lt;b&gt;'),
        ("subjob 5, job x", "subjob 5, job x"),
    ],
)
def test_jobs_that_a_text_names_are_links(text: str, shown: str) -> None:
    assert job_links(text) == shown


def test_a_rule_leads_to_its_page_if_a_rule_of_today_has_its_name() -> None:
    link = '<a class="mono" href="/rules/COMPASS/killed">killed</a>'
    assert rule_link("killed", "COMPASS") == link
    assert rule_link("killed", code=codes_of_rules("COMPASS")["killed"]) == link
    assert rule_link("killed", code="COMPASS-0000") == '<span class="mono">killed</span>'
    assert rule_link("<b>", "COMPASS") == '<span class="mono">&lt;b&gt;</span>'


def test_a_code_leads_to_its_rule() -> None:
    code = codes_of_rules("COMPASS")["killed"]
    assert 'href="/rules/COMPASS/killed">killed</a>' in rule_of_code(code)
    assert rule_of_code("COMPASS-0000") == ""
    assert rule_of_code("") == ""


@pytest.mark.parametrize(("kind", "word"), [("back-off", "not before"), ("breaker", "not before"), ("silent", "until")])
def test_the_time_of_a_reason_is_its_begin_or_its_end(kind: WaitKind, word: str) -> None:
    assert bound(Wait(kind, "it waits", None, 1.0, "server", "by itself")) == word
