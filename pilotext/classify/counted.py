"""What the counters of a job show: broken laws, and more of something than is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pilotext.classify.sighting import Sighting, Weight
from pilotext.model.verdict import Evidence
from pilotext.rules import law
from pilotext.rules.schema import Condition, RateCondition, Rule

Counters = Mapping[str, int | float]


def of_counters(rule: Rule, condition: Condition, counters: Counters, seen: Sequence[Sighting]) -> Sighting | None:
    """A condition on counts as its rule sees it. Where something was not counted there is nothing to see."""
    if condition.events is not None:
        return _of_law(rule, condition, counters)
    if condition.rate is not None:
        return _of_rate(rule, condition.rate, counters, seen)
    return None


def _of_law(rule: Rule, condition: Condition, counters: Counters) -> Sighting | None:
    text = condition.events or ""
    if any(name not in counters for name in law.parse(text).names):
        return None
    result = law.check(text, counters, condition.tolerance)
    return None if result.holds else _sighting(rule, result.sentence, ())


def _of_rate(rule: Rule, rate: RateCondition, counters: Counters, seen: Sequence[Sighting]) -> Sighting | None:
    quoted = next((one for one in seen if rate.rule is not None and one.rule.id == rate.rule), None)
    count = counters.get(rate.counter) if rate.counter is not None else None if quoted is None else quoted.count
    if count is None or (rate.more_than is not None and count <= rate.more_than):
        return None
    said = f"{rate.counter or rate.rule} is {count}"
    if rate.percent is not None:
        whole = counters.get(rate.of or "")
        if whole is None or count * 100 <= rate.percent * whole:
            return None
        said += f", more than {rate.percent:g} % of {rate.of} ({whole})"
    return _sighting(rule, said, quoted.evidence if quoted is not None else ())


def _sighting(rule: Rule, said: str, quoted: Sequence[Evidence]) -> Sighting:
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=said)
    return Sighting(rule, Weight.VALIDATION, 1, (evidence, *quoted), {"text": said})
