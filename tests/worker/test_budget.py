"""How the wall time of a job is divided."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.worker.budget import DEADLINE_VARIABLE, Budget
from tests.support.jobs import make_job


def budget(**fields: object) -> Budget:
    return Budget(make_job(**fields), began=1000.0, began_at=1_790_000_000.0)


def test_a_tenth_is_kept_for_what_follows_the_payload() -> None:
    divided = budget(limits={"wall_s": 100, "grace_s": 5})
    assert (divided.stop, divided.finish, divided.end) == (1085, 1090, 1100)


def test_a_long_job_keeps_half_an_hour() -> None:
    assert budget(limits={"wall_s": 86400}).finish == 1000 + 86400 - 1800


def test_a_job_may_say_how_much_is_kept() -> None:
    assert budget(limits={"wall_s": 1000, "finish_s": 400, "grace_s": 0}).stop == 1600


def test_the_payload_is_asked_early_enough_for_a_soft_stop() -> None:
    soft = {"signal": "SIGUSR1", "wait_s": 60}
    assert budget(limits={"wall_s": 10000, "finish_s": 1000, "grace_s": 10}, soft_stop=soft).stop == 1000 + 8930


def test_the_payload_can_read_when_it_will_be_asked_to_end() -> None:
    assert budget(limits={"wall_s": 100, "grace_s": 5}).environment() == {DEADLINE_VARIABLE: "1790000085"}


def test_without_a_limit_nothing_is_divided() -> None:
    free = budget()
    assert (free.end, free.finish, free.stop, free.payload_s(), free.environment()) == (None, None, None, None, {})
    assert free.deadline("stage-out") is None


@given(
    wall_s=st.floats(0.001, 1e9),
    finish_s=st.none() | st.floats(0, 1e9),
    grace_s=st.floats(0, 1e9),
    wait_s=st.floats(0, 1e9),
)
def test_whatever_a_job_says_the_phases_come_in_order(
    wall_s: float, finish_s: float | None, grace_s: float, wait_s: float
) -> None:
    limits = {"wall_s": wall_s, "finish_s": finish_s, "grace_s": grace_s}
    divided = budget(limits=limits, soft_stop={"file": "stop", "wait_s": wait_s})
    moments = (divided.began, divided.stop, divided.finish, divided.deadline("stage-out"), divided.end)
    known = [moment for moment in moments if moment is not None]
    assert len(known) == 5
    assert all(earlier <= later + 1e-6 * wall_s for earlier, later in itertools.pairwise(known))


@pytest.mark.parametrize("phase", ["prepare", "stage-in", "payload"])
def test_no_phase_before_the_payload_takes_the_time_of_those_after_it(phase: str) -> None:
    assert budget(limits={"wall_s": 100}).deadline(phase) == 1090  # type: ignore[arg-type]
