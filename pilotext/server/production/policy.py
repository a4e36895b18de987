"""What follows from a failed attempt: a pure function over the profile's retry rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pilotext.model import Record
from pilotext.profile.records import Retry, RetryRule

Fault = tuple[str, str]
"""Cause and action of a failed attempt; the cause `lost` is an attempt whose worker was heard of no more."""


class History(Record, frozen=True):
    """What the job has behind it, this attempt not counted."""

    charged: int
    max_attempts: int
    faults: tuple[Fault, ...] = ()
    sites: tuple[str, ...] = ()
    """Where each of the faults was."""
    memory_mb: float | None = None


class Decision(Record, frozen=True):
    """The job's next state; `ready` and `defined` after `wait_s` seconds.

    For `avoid_s` it does not go to the same node, or to the same site either, where `avoid` names them.
    """

    state: Literal["ready", "defined", "manual", "failed"]
    why: str
    charged: bool
    wait_s: float = 0.0
    memory_mb: float | None = None
    avoid: tuple[Literal["node", "site"], ...] = ()
    avoid_s: float = 0.0


def decide(retry: Retry, fault: Fault, history: History, *, site: str = "", chance: float) -> Decision:
    """Decide on a failure at a site; `chance` from 0 to 1 spreads the waits of jobs that failed together."""
    rule = rule_for(retry.rules, fault)
    cause, action = fault
    what = f"{cause or 'no cause'}, {action or 'no action'}"
    if rule is None or rule.then == "manual":
        return Decision("manual", f"{what}: somebody has to look", charged=True)
    if rule.then == "fail":
        return Decision("failed", f"{what}: another attempt would not help", charged=True)
    charged = history.charged + rule.charged
    alike = [rule_for(retry.rules, earlier) is rule for earlier in history.faults]
    same = sum(alike) + 1
    end = rule.exhausted
    if charged >= history.max_attempts and rule.charged:
        return Decision(end, f"{what}: {charged} of {history.max_attempts} attempts are used up", charged=True)
    if rule.tries is not None and same >= rule.tries:
        return Decision(end, f"{what}: it came {same} times", charged=rule.charged)
    wait = min(rule.wait_s * rule.factor ** (same - 1), rule.most_s) * (1 + rule.jitter * (2 * chance - 1))
    memory = history.memory_mb
    if rule.then == "more-memory":
        if memory is not None and memory >= rule.memory_most_mb:
            return Decision(end, f"{what}: it had {memory:g} MB, the most there is", charged=rule.charged)
        memory = None if memory is None else min(memory * rule.memory_factor, rule.memory_most_mb)
    return Decision(
        state="defined" if rule.then == "restage" else "ready",
        why=f"{what}: {rule.then}, failure {same} of its class, {'' if rule.charged else 'not '}charged",
        charged=rule.charged,
        wait_s=wait,
        memory_mb=memory,
        avoid=_avoided(rule, 1 + sum(here for here, at in zip(alike, history.sites, strict=False) if at == site)),
        avoid_s=rule.avoid_s,
    )


def _avoided(rule: RetryRule, times_here: int) -> tuple[Literal["node", "site"], ...]:
    if rule.then != "elsewhere":
        return ()
    return ("node", "site") if times_here >= rule.site_after else ("node",)


def rule_for(rules: Sequence[RetryRule], fault: Fault) -> RetryRule | None:
    """The first rule whose conditions fit."""
    cause, action = fault
    for rule in rules:
        if (not rule.cause or cause in rule.cause) and (not rule.action or action in rule.action):
            return rule
    return None
