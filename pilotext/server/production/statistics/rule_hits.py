"""Rules with the numbers of attempts that they have judged."""

from __future__ import annotations

import time
from calendar import timegm
from collections import Counter
from dataclasses import dataclass

import msgspec

from pilotext.model.verdict import Match
from pilotext.serialization.json import ready
from pilotext.server.production.models import AttemptReport
from pilotext.server.production.statistics.errors import count_by, failed_between, list_errors
from pilotext.server.times import DAY_S, earlier, later, now, to_seconds

PERIODS_DAYS = (1, 7, 30)
MAX_TASKS = 50
"""Tasks that the hits of a rule are shown of."""

MAX_READ = 200
"""Newest kept reports that are read for matches that were not elected."""


@dataclass(frozen=True)
class Hits:
    """Failed attempts of the last day, week and month with a code, and the last of them."""

    numbers: tuple[int, ...]
    last: float


NONE = Hits(tuple(0 for _ in PERIODS_DAYS), 0.0)


class _Verdict(msgspec.Struct):
    """The field that is read of a kept verdict: the rules that matched and were not elected."""

    also: tuple[Match, ...] = ()


class _Judged(msgspec.Struct):
    verdict: _Verdict


def hits_by_code() -> dict[str, Hits]:
    """Return the hits of each code that an attempt of the last month has failed with."""
    at = now()
    counted = [
        {
            row.code: row
            for row in list_errors(
                by=("code",), since=earlier(at, days * DAY_S), until=later(at, 1.0), task=None, site=None, code=None
            ).errors
        }
        for days in PERIODS_DAYS
    ]
    return {
        code: Hits(tuple(by_code[code].attempts if code in by_code else 0 for by_code in counted), row.last)
        for code, row in counted[-1].items()
    }


@dataclass(frozen=True)
class RuleHits:
    """Hits of one rule: by day, by site and by task of the last month."""

    hits: Hits
    by_site: tuple[tuple[str, int], ...]
    by_task: tuple[tuple[str, int], ...]


def hits_of(code: str) -> RuleHits:
    """Return the hits of the rule with this code, all of them by one query."""
    at = now()
    rows = failed_between(earlier(at, PERIODS_DAYS[-1] * DAY_S), later(at, 1.0), code=code)
    sites: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    numbers, last = [0 for _ in PERIODS_DAYS], 0.0
    for row in count_by(rows, ["day", "site", "task"]):
        sites[row.site] += row.attempts
        tasks[row.task] += row.attempts
        last = max(last, row.last)
        for place, days in enumerate(PERIODS_DAYS):
            if timegm(time.strptime(row.day, "%Y-%m-%d")) > to_seconds(at) - (days + 1) * DAY_S:
                numbers[place] += row.attempts
    return RuleHits(Hits(tuple(numbers), last), tuple(sites.most_common()), tuple(tasks.most_common(MAX_TASKS)))


def matched_without_election() -> Counter[str]:
    """Return how often rules matched in the newest kept reports and were not elected."""
    found: Counter[str] = Counter()
    for text in AttemptReport.objects.order_by("-pk").values_list("report", flat=True)[:MAX_READ]:
        verdict = msgspec.json.decode(text, type=ready(_Judged)).verdict
        found.update({match.rule for match in verdict.also})
    return found
