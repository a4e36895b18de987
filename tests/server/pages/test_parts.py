"""Parts of pages that are made ready before a template sees them."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.api.schemas.attempts import AttemptDetail, AttemptRow  # noqa: E402  needs boot
from pilotext.api.schemas.runs import RunRow  # noqa: E402
from pilotext.model.report import PhaseRecord  # noqa: E402
from pilotext.model.verdict import Evidence  # noqa: E402
from pilotext.server.pages.jobs import bars_of, quoted_lines  # noqa: E402
from pilotext.server.pages.tasks import parts_of  # noqa: E402
from pilotext.server.pages.templatetags.pages import chip, moment, rough, thousands, tone  # noqa: E402
from pilotext.server.production.states import JOB, PRODUCT, TASK  # noqa: E402

pytestmark = pytest.mark.unit


def test_quoted_lines_have_the_numbers_of_the_log() -> None:
    lines = quoted_lines(Evidence("r", "stderr", 812, 100, "FATAL\nfrom: x", ("before",), ("after",)))
    assert [(line.number, line.text, line.decisive) for line in lines] == [
        (811, "before", False),
        (812, "FATAL", True),
        (813, "from: x", True),
        (814, "after", False),
    ]


def test_a_finding_of_the_wrapper_has_no_line_numbers() -> None:
    (line,) = quoted_lines(Evidence("r", "wrapper", 0, 0, "memory: 3000 MB of 2000 MB"))
    assert (line.number, line.decisive) == (None, True)


def attempt(*phases: PhaseRecord) -> AttemptRow:
    detail = AttemptDetail(phases, 1.0, 1.0, 1.0, "")
    words = dict.fromkeys(("verdict", "code", "cause", "action", "rule", "diag", "decision"), "")
    return AttemptRow(1, 1, "failed", "S", "n", "a", 1.0, 2.0, exit_status=1, charged=True, detail=detail, **words)


def test_phases_have_their_shares_and_those_that_were_skipped_have_none() -> None:
    phases = (
        PhaseRecord("stage-in", 0.0, 25.0, "done"),
        PhaseRecord("payload", 25.0, 75.0, "failed"),
        PhaseRecord("stage-out", 100.0, None, "skipped"),
    )
    assert [(bar.phase.name, bar.share) for bar in bars_of(attempt(*phases))] == [("stage-in", 25), ("payload", 75)]
    assert bars_of(attempt()) == []


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
