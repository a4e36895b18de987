"""The number of batch jobs to submit: a table, and what holds for every situation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.engines.decision import FIRST_PAUSE_S, MAX_PAUSE_S, FactoryDecision, Situation, decide, pause_after
from tests.engines.factory_files import label

LABEL = label(max_jobs=20, max_queued=8, burst=5)
CLOSED = "site closed: maintenance"


@pytest.mark.parametrize(
    ("situation", "submit", "why"),
    [
        (Situation(0, 0, 3), 3, ""),
        (Situation(0, 0, 100), 5, ""),
        (Situation(2, 0, 3), 1, ""),
        (Situation(3, 0, 3), 0, "no job waits for another agent"),
        (Situation(0, 0, 0), 0, "no job waits for another agent"),
        (Situation(0, 9, 0), 0, "no job waits for another agent"),
        (Situation(6, 0, 100), 2, ""),
        (Situation(8, 0, 100), 0, "8 batch jobs are queued, the most allowed"),
        (Situation(1, 16, 100), 3, ""),
        (Situation(1, 19, 100), 0, "20 batch jobs are queued or running, the most allowed"),
        (Situation(1, 30, 100), 0, "20 batch jobs are queued or running, the most allowed"),
        (Situation(0, 0, 10, queued_elsewhere=7), 3, ""),
        (Situation(0, 0, 10, queued_elsewhere=30), 0, "no job waits for another agent"),
        (Situation(0, 0, 100, hold=CLOSED), 0, CLOSED),
        (Situation(0, 0, 100, pause_s=0.5), 0, "a pause after submissions that failed"),
        (Situation(None, None, 100, trouble="slurm: away"), 0, "the number of batch jobs is unknown: slurm: away"),
        (Situation(0, 0, None, trouble="no answer"), 0, "the number of waiting jobs is unknown: no answer"),
    ],
)
def test_a_decision(situation: Situation, submit: int, why: str) -> None:
    assert decide(LABEL, situation) == FactoryDecision(submit, why)


@pytest.mark.parametrize(("waiting", "submit"), [(1, 1), (8, 1), (9, 2), (0, 0)])
def test_an_agent_with_several_slots_takes_several_jobs(waiting: int, submit: int) -> None:
    assert decide(label(slots=8), Situation(0, 0, waiting)).submit == submit


COUNTS = st.integers(0, 10_000)
LABELS = st.builds(
    label,
    max_jobs=st.integers(1, 1000),
    max_queued=st.integers(1, 1000),
    burst=st.integers(1, 1000),
    slots=st.integers(1, 64),
)
SITUATIONS = st.builds(Situation, COUNTS | st.none(), COUNTS | st.none(), COUNTS | st.none(), COUNTS)


@given(LABELS, SITUATIONS)
def test_there_are_never_more_batch_jobs_than_allowed_or_needed(limits: object, now: Situation) -> None:
    from pilotext.engines.settings import LabelSettings

    assert isinstance(limits, LabelSettings)
    decision = decide(limits, now)
    assert decision.submit >= 0
    assert bool(decision.why) == (decision.submit == 0)
    if decision.submit == 0:
        return
    assert now.queued is not None and now.running is not None and now.waiting is not None
    assert decision.submit <= limits.burst
    assert now.queued + decision.submit <= limits.max_queued
    assert now.queued + now.running + decision.submit <= limits.max_jobs
    assert (now.queued + decision.submit - 1) * limits.slots < now.waiting


@given(LABELS, COUNTS, COUNTS, COUNTS)
def test_an_answer_that_did_not_come_never_counts_as_none(
    limits: object, queued: int, running: int, waiting: int
) -> None:
    from pilotext.engines.settings import LabelSettings

    assert isinstance(limits, LabelSettings)
    for unknown in (
        Situation(None, running, waiting),
        Situation(queued, None, waiting),
        Situation(queued, running, None),
    ):
        assert decide(limits, unknown).submit == 0


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = [pause_after(failures) for failures in range(1, 30)]
    assert pause_after(0) == 0
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PAUSE_S
