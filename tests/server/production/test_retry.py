from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pilotext.model.verdict import Action, Cause
from pilotext.profile import load_experiment
from pilotext.profile.records import Retry, RetryRule
from pilotext.server.production.retry import Decision, Fault, History, decide

RETRY = load_experiment("COMPASS").retry
FRESH = History(charged=0, max_attempts=5, memory_mb=3000.0)
MIDDLE = 0.5
"""The chance that leaves a wait as the rule says it."""


def decision(cause: str, action: str, history: History = FRESH, chance: float = MIDDLE) -> Decision:
    return decide(RETRY, (cause, action), history, chance=chance)


@pytest.mark.parametrize(
    ("cause", "action", "state", "charged"),
    [
        ("crash", "retry", "ready", True),
        ("lost", "", "ready", False),
        ("evicted", "retry", "ready", False),
        ("killed", "retry", "ready", True),
        ("conditions-db", "retry", "ready", False),
        ("input-missing", "restage", "defined", False),
        ("software-setup", "retry-elsewhere", "ready", True),
        ("fatal-error", "manual-check", "manual", True),
        ("conditions-db", "manual-check", "manual", True),
        ("configuration", "fail", "failed", True),
        ("", "", "ready", True),
    ],
)
def test_a_verdict_leads_to_the_state_that_its_action_says(cause: str, action: str, state: str, charged: bool) -> None:
    made = decision(cause, action)
    assert (made.state, made.charged) == (state, charged)


@pytest.mark.parametrize(
    ("action", "state"),
    [("manual-check", "manual"), ("fail", "failed"), ("restage", "defined"), ("retry", "ready"), ("", "ready")],
)
def test_a_profile_without_retry_honours_the_actions_of_the_rules(action: Action, state: str) -> None:
    assert decide(Retry(), ("crash", action), FRESH, chance=MIDDLE).state == state
    assert decide(Retry(attempts=3), ("crash", action), FRESH, chance=MIDDLE).state == state


def test_a_profile_without_retry_gives_more_memory_and_another_node() -> None:
    assert decide(Retry(), ("memory", "retry-more-memory"), FRESH, chance=MIDDLE).memory_mb == 4500
    assert decide(Retry(), ("storage", "retry-elsewhere"), FRESH, chance=MIDDLE).avoid == ("node",)


@pytest.mark.parametrize(
    ("kind", "job_type", "then"),
    [
        ("merging", "merging mdst", "ready"),
        ("reconstruction", "mass production", "manual"),
        ("decoding", "DDD filtering", "failed"),
        ("decoding", "ddd", "manual"),
    ],
)
def test_a_rule_for_some_kinds_or_types_of_jobs_is_for_no_others(kind: str, job_type: str, then: str) -> None:
    rules = (
        RetryRule(then="retry", jobs=("merging",), action=("manual-check",)),
        RetryRule(then="fail", jobs=("DDD filtering",)),
        RetryRule(then="manual"),
    )
    retry = Retry(rules=rules).for_job(kind, job_type)
    assert decide(retry, ("crash", "manual-check"), FRESH, chance=MIDDLE).state == then


def test_a_failure_that_comes_again_waits_longer_up_to_a_limit() -> None:
    faults: list[Fault] = []
    waits = []
    for _ in range(9):
        waits.append(decision("conditions-db", "retry", replace(FRESH, faults=tuple(faults))).wait_s)
        faults.append(("conditions-db", "retry"))
    assert waits == [300, 600, 1200, 2400, 4800, 7200, 7200, 7200, 7200]


def test_failures_of_another_class_do_not_make_it_wait_longer() -> None:
    history = replace(FRESH, faults=(("lost", ""), ("storage", "retry")))
    assert decision("crash", "retry", history).wait_s == decision("crash", "retry").wait_s


def test_waits_are_spread() -> None:
    early, late = decision("crash", "retry", chance=0.0), decision("crash", "retry", chance=1.0)
    assert early.wait_s < decision("crash", "retry").wait_s < late.wait_s


def test_only_a_lack_of_memory_gives_more_memory() -> None:
    assert decision("memory", "retry-more-memory").memory_mb == 4500
    assert decision("crash", "retry").memory_mb == 3000


def test_more_memory_than_there_is_is_not_asked_for() -> None:
    assert decision("memory", "retry-more-memory", replace(FRESH, memory_mb=7000.0)).memory_mb == 8000
    assert decision("memory", "retry-more-memory", replace(FRESH, memory_mb=8000.0)).state == "manual"


def test_only_elsewhere_avoids_the_node() -> None:
    assert decision("software-setup", "retry-elsewhere").avoid == ("node",)
    assert decision("crash", "retry").avoid == ()


def test_a_second_failure_of_its_class_at_one_site_avoids_the_site_too() -> None:
    fault = ("software-setup", "retry-elsewhere")
    history = replace(FRESH, charged=1, faults=(fault,), sites=("A",))
    assert decide(RETRY, fault, history, site="A", chance=MIDDLE).avoid == ("node", "site")
    assert decide(RETRY, fault, history, site="B", chance=MIDDLE).avoid == ("node",)


def test_the_last_charged_attempt_ends_in_a_manual_check() -> None:
    assert decision("crash", "retry", replace(FRESH, charged=3)).state == "ready"
    made = decision("crash", "retry", replace(FRESH, charged=4))
    assert made.state == "manual"
    assert "5 of 5 attempts are used up" in made.why


def test_what_is_not_charged_is_bounded_too() -> None:
    history = replace(FRESH, faults=(("conditions-db", "retry"),) * 19)
    assert decision("conditions-db", "retry", history).state == "manual"


@pytest.mark.parametrize("retry", [RETRY, Retry()], ids=["COMPASS", "a profile without rules"])
def test_a_job_that_is_evicted_again_and_again_is_tried_again_and_comes_to_an_end(retry: Retry) -> None:
    fault = ("evicted", "retry")
    history = replace(FRESH, max_attempts=3)
    for number in range(1, 50):
        made = decide(retry, fault, history, chance=MIDDLE)
        assert (made.state, made.charged, made.wait_s <= 1800) == ("ready", False, True), number
        history = replace(history, faults=(*history.faults, fault))
    assert decide(retry, fault, history, chance=MIDDLE).state == "manual"


@given(st.sampled_from(Cause.__args__), st.sampled_from(Action.__args__), st.floats(0, 1))  # type: ignore[attr-defined]
def test_every_failure_comes_to_an_end(cause: str, action: str, chance: float) -> None:
    history = FRESH
    for number in range(200):
        made = decide(RETRY, (cause, action), history, chance=chance)
        if made.state in ("manual", "failed"):
            assert number < (50 if cause == "evicted" else 30)
            return
        assert made.wait_s <= 7200 * 1.25
        faults = (*history.faults, (cause, action))
        history = replace(history, charged=history.charged + made.charged, faults=faults, memory_mb=made.memory_mb)
    raise AssertionError("it would be tried for ever")
