"""Comparison of an attempt with another one of its job, or with the last good one of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.formatting import bytes_of, duration
from pilotext.model.report import Report
from pilotext.model.verdict import Verdict
from pilotext.server.pages.access import page
from pilotext.server.pages.attempts import find_attempt, report_of
from pilotext.server.pages.queries import whole_number
from pilotext.server.production.models import Attempt
from pilotext.server.production.states import AttemptState

GOOD = "good"
"""Word in the address for the last good attempt of the same kind in the same task."""

NEAR = 0.1
"""Numbers that differ by less than this share are taken for the same."""

MB = 1_000_000


@dataclass(frozen=True)
class Compared:
    """An attempt with its report and its verdict; both None where no report came."""

    attempt: Attempt
    report: Report | None
    verdict: Verdict | None


@dataclass(frozen=True)
class ComparedRow:
    """A fact of two attempts, and whether it differs."""

    words: str
    left: str
    right: str
    differs: bool


@page("viewer")
def show(request: HttpRequest, job: int) -> HttpResponse:
    """Show two attempts side by side: `a` is the number of one, `b` that of the other or the word `good`."""
    left = _compared(find_attempt(job, whole_number(request.GET.get("a", ""))))
    asked = request.GET.get("b", GOOD)
    other = _last_good(left.attempt) if asked == GOOD else find_attempt(job, whole_number(asked))
    words: dict[str, object] = {"left": left.attempt, "right": other}
    if other is not None:
        right = _compared(other)
        words["groups"] = [
            ("Attempt", list(_facts(left, right))),
            ("Phases", list(_phases(left, right))),
            ("Counters", list(_counters(left, right))),
        ]
    return render(request, "pages/compare.html", words)


def _last_good(attempt: Attempt) -> Attempt | None:
    """Return the last attempt of another job of this kind, in the same task, that succeeded."""
    job = attempt.job
    rows = Attempt.objects.select_related("job__task", "site", "final_report").filter(task=attempt.task_id)
    good = rows.filter(state=AttemptState.FINISHED, job__type=job.type, job__product=job.product)
    return good.exclude(job=job.pk).order_by("-pk").first()


def _compared(attempt: Attempt) -> Compared:
    read = report_of(attempt)
    return Compared(attempt, read.report, read.verdict)


def _facts(left: Compared, right: Compared) -> Iterator[ComparedRow]:
    for words, a, b in zip(_WORDS, _texts(left), _texts(right), strict=True):
        yield ComparedRow(words, a, b, a != b)
    for words, unit, first, second in _numbers(left, right):
        yield _numbered(words, first, second, unit)


_WORDS = ("State", "Verdict", "Cause", "Rule", "Site", "Node", "Wrapper", "Rules", "End of the payload")


def _texts(one: Compared) -> tuple[str, ...]:
    attempt, report, verdict = one.attempt, one.report, one.verdict
    ruleset = verdict.ruleset[:12] if verdict is not None else ""
    payload = str(report.payload) if report is not None and report.payload is not None else ""
    version = report.pilotext if report is not None else ""
    judged = attempt.code or attempt.verdict
    return (
        *(attempt.state, judged, attempt.cause, attempt.rule, attempt.site.name, attempt.node),
        *(version, ruleset, payload),
    )


def _numbers(left: Compared, right: Compared) -> Iterator[tuple[str, str, float | None, float | None]]:
    for words, unit, name in (
        ("Wall time", "s", "wall_s"),
        ("CPU time", "s", "cpu_s"),
        ("Peak memory", "MB", "peak_memory_mb"),
        ("Peak disk", "MB", "peak_disk_mb"),
        ("Read", "MB", "read_mb"),
        ("Written", "MB", "written_mb"),
        ("Logs", "MB", "log_mb"),
    ):
        a, b = (getattr(one.report.usage, name) if one.report is not None else None for one in (left, right))
        yield words, unit, a, b


def _phases(left: Compared, right: Compared) -> Iterator[ComparedRow]:
    a, b = (
        {phase.name: phase for phase in one.report.phases} if one.report is not None else {} for one in (left, right)
    )
    for name in dict.fromkeys([*a, *b]):
        seconds = [phases[name].seconds if name in phases else None for phases in (a, b)]
        row = _numbered(name, seconds[0], seconds[1], "s")
        ends = [phases[name].outcome if name in phases else "" for phases in (a, b)]
        texts = [
            f"{text} {end}" if end != "done" else text for text, end in zip((row.left, row.right), ends, strict=True)
        ]
        yield ComparedRow(name, texts[0], texts[1], row.differs or ends[0] != ends[1])


def _counters(left: Compared, right: Compared) -> Iterator[ComparedRow]:
    a, b = (one.verdict.counters if one.verdict is not None else {} for one in (left, right))
    for name in dict.fromkeys([*a, *b]):
        yield _numbered(name, a.get(name), b.get(name), "")


def _numbered(words: str, left: float | None, right: float | None, unit: str) -> ComparedRow:
    if left is None or right is None:
        differs = left is not right
    else:
        differs = abs(left - right) > NEAR * max(abs(left), abs(right))
    return ComparedRow(words, _said(left, unit), _said(right, unit), differs)


def _said(number: float | None, unit: str) -> str:
    if number is None:
        return "\N{EN DASH}"
    if unit == "s":
        return duration(number)
    return bytes_of(round(number * MB)) if unit == "MB" else f"{number:,}".replace(",", " ")
