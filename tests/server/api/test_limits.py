from __future__ import annotations

import pytest

from pilotext.server.api import limits
from pilotext.server.api.limits import Limiter, Recent


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_a_burst_is_allowed_and_then_a_rate() -> None:
    clock = Clock()
    limiter = Limiter(per_s=2, burst=3, clock=clock)
    assert [limiter.spend("a") for _ in range(4)] == [True, True, True, False]
    assert limiter.spend("b"), "each has a bucket of its own"
    clock.at += 1
    assert [limiter.spend("a") for _ in range(3)] == [True, True, False]
    clock.at += 1000
    assert [limiter.spend("a") for _ in range(4)] == [True, True, True, False], "a bucket holds no more than a burst"


def test_to_look_costs_nothing() -> None:
    limiter = Limiter(per_s=1, burst=1, clock=Clock())
    assert all(limiter.has_left("a") for _ in range(10))
    limiter.spend("a")
    assert not limiter.has_left("a")
    limiter.forget()
    assert limiter.has_left("a")


def test_memory_is_bounded_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    limiter = Limiter(per_s=1, burst=1, clock=Clock())
    for number in range(1000):
        limiter.spend(str(number))
    assert len(limiter._levels) == 10
    assert not limiter.has_left("999")


def test_the_oldest_names_are_forgotten_first() -> None:
    recent = Recent(most=2)
    for key in ("a", "b", "a", "c"):
        recent.add(key)
    assert [key in recent for key in "abc"] == [True, False, True]
    recent.discard("a")
    assert "a" not in recent
