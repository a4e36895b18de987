"""Page of a job: verdict with evidence, attempts, the course of one of them, files, history, notes, decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.errors import UsageError
from pilotext.model import job as worker_job
from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Evidence, Verdict
from pilotext.rules import event_balance
from pilotext.rules.schema import Rule
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.pages.access import may, page, reason_of
from pilotext.server.pages.attempts import read_report
from pilotext.server.pages.charts import resource_curves, sample_rows, time_line
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.panda import links_of_attempt
from pilotext.server.pages.quotes import Quote, quote_of
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.manual_decisions import jobs as decisions
from pilotext.server.production.manual_decisions.preview import preview_decisions
from pilotext.server.production.models import Attempt, AttemptReport, Job, Output
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import rules_of
from pilotext.server.production.statistics.jobs import JobHistory, history_of

EVENT_COUNTERS = {
    "raw_events": "Raw file, physics",
    "raw_calibration_events": "Raw file, calibration",
    "inputs.events": "Inputs",
    "events_processed": "Processed",
    "events_skipped": "Skipped",
    "events_written": "Written",
    "events_saved": "Saved",
}
"""Counters of a report that are about events, with their words, in the order of a job; those of outputs follow."""


@dataclass(frozen=True)
class OtherMatch:
    """A rule that matched and was not elected: how often, where first, and why it is not the verdict."""

    rule: str
    code: str
    count: int
    first: Evidence | None
    why: str


@dataclass(frozen=True)
class MovedFile:
    """An input or an output of an attempt; `rate_mb_s` is None where nothing was measured."""

    name: str
    url: str
    size: int
    adler32: str
    seconds: float | None
    tries: int
    rate_mb_s: float | None
    kind: str = ""
    state: str = ""
    events: int | None = None
    attempt: int = 0
    placeholder: bool = False
    kept: str = ""
    merged: str = ""
    merge_job: int | None = None


@dataclass(frozen=True)
class EventCount:
    """A number of events, in words."""

    words: str
    events: int | float | None


@dataclass(frozen=True)
class ShownAttempt:
    """The attempt that a page of a job is about, by its report: None where there is none (yet)."""

    attempt: Attempt
    verdict: Verdict | None
    report: Report | None
    judged_again: bool
    late: bool
    quotes: tuple[Quote, ...]
    others: tuple[OtherMatch, ...]
    owner: str

    @property
    def efficiency(self) -> float | None:
        """CPU time as a share of the time that its payload took, in percent."""
        usage = self.report.usage if self.report else None
        return 100 * usage.cpu_s / usage.wall_s if usage is not None and usage.wall_s > 0 else None


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest, job: int) -> HttpResponse:
    """Show everything about a job, its verdict first; `attempt` of the address chooses the attempt that is shown."""
    history = history_of(job)
    asked = request.GET.get("attempt", "")
    shown = shown_attempt(history, asked) if history.tries else None
    report = shown.report if shown is not None else None
    number = shown.attempt.number if shown is not None else 1
    built = built_job(history.row, number)
    limits = built.limits if built is not None else worker_job.Limits()
    words = {
        "page": history.page,
        "task": history.row.task,
        "shown": shown,
        "panda": list(links_of_attempt(shown.attempt)) if shown is not None else [],
        "last": history.tries[-1].number if history.tries else 0,
        "attempts": list(reversed(history.page.attempts)),
        "bars": time_line(report) if report is not None else (),
        "curves": resource_curves(report.usage, limits.memory_mb, limits.disk_mb) if report is not None else (),
        "samples": sample_rows(report.usage.series) if report is not None else (),
        "events": list(event_counts(history.row, shown)),
        "counters": other_counters(history.row.task.experiment.name, shown),
        "balance": balance_of(built, shown),
        "inputs": [moved_file(file) for file in report.inputs] if report is not None else [],
        "outputs": list(published_files(history)),
        "decisions": preview_decisions(history) if may(request, "expert") else [],
        "may_note": may(request, "expert"),
        "me": request.user.get_username(),
    }
    return render(request, "pages/job.html", words)


@page("expert", methods=("POST",))
def decide(request: HttpRequest, job: int) -> HttpResponse:
    """Carry out a decision on a job, and go back to it."""
    return carry_out(request, "job", job, decisions.move_job)


@page("expert", methods=("POST",))
def note(request: HttpRequest, job: int) -> HttpResponse:
    """Write a note on a job, and go back to it."""
    reason = reason_of(request)
    transact(lambda: decisions.note(job, reason))
    messages.success(request, "The note is in the history.")
    return HttpResponseRedirect(reverse("job", args=[job]))


@page("expert", methods=("POST",))
def assign(request: HttpRequest, job: int) -> HttpResponse:
    """Assign a job to the person who asks, or to nobody, and go back to it."""
    to = request.user.get_username() if request.POST.get("whom") == "me" else ""
    reason = reason_of(request, otherwise="assigned")
    transact(lambda: decisions.assign(job, to, reason))
    messages.success(request, f"Assigned to {to}." if to else "Assigned to nobody.")
    return HttpResponseRedirect(reverse("job", args=[job]))


def shown_attempt(history: JobHistory, asked: str) -> ShownAttempt:
    """Return the attempt of this number, or the last one. Raises RefusalError where there is none of this number."""
    attempts = {str(attempt.number): attempt for attempt in history.tries}
    attempt = attempts.get(asked) if asked else history.tries[-1]
    if attempt is None:
        raise RefusalError("not-found", f"job {history.row.pk} has no attempt {asked!r:.20}.")
    kept = history.reports.get(attempt.number)
    if kept is None:
        return ShownAttempt(attempt, None, None, judged_again=False, late=False, quotes=(), others=(), owner="")
    return _reported(attempt, kept, history.row.task.experiment.name)


def _reported(attempt: Attempt, kept: AttemptReport, experiment: str) -> ShownAttempt:
    report, verdict = read_report(kept)
    rules = {rule.id: rule for rule in rules_of(experiment).rules}
    elected = rules.get(verdict.rule or "")
    return ShownAttempt(
        attempt,
        verdict,
        report,
        judged_again=bool(kept.reclassified),
        late=kept.late,
        quotes=tuple(quote_of(one, rules.get(one.rule)) for one in verdict.evidence),
        others=tuple(_others(verdict, rules)),
        owner=elected.text.owner if elected is not None else "",
    )


def _others(verdict: Verdict, rules: dict[str, Rule]) -> Iterator[OtherMatch]:
    """Yield the matches that were not elected, and rules that were dropped without a match of their own."""
    why = {one.rule: one.reason for one in verdict.dropped}
    for match in verdict.also:
        first = match.evidence[0] if match.evidence else None
        yield OtherMatch(match.rule, match.code, match.count, first, why.pop(match.rule, ""))
    for rule, reason in why.items():
        known = rules.get(rule)
        yield OtherMatch(rule, known.code.label if known is not None else "", 0, None, reason)


def built_job(row: Job, number: int) -> worker_job.Job | None:
    """Return the job as its worker got it; None where the profile cannot make it (any more)."""
    try:
        return build_job(row.task, row, number)
    except UsageError:
        return None


def event_counts(row: Job, shown: ShownAttempt | None) -> Iterator[EventCount]:
    """Yield the events of the catalogue, and those that an attempt counted."""
    if not row.product:
        yield EventCount("Catalogue", row.events)
    counters = shown.verdict.counters if shown is not None and shown.verdict is not None else {}
    for name, words in event_counters(row.task.experiment.name).items():
        if name in counters:
            yield EventCount(words, counters[name])


def event_counters(experiment: str) -> dict[str, str]:
    """Return the words of counters that are about events, those of the profile's kinds of outputs among them."""
    found = {**EVENT_COUNTERS}
    for kind, known in profile_of(experiment).known_output_kinds.items():
        found[f"{kind}_entries"] = known.title or f"Entries of {kind}"
        found[f"{kind}_events"] = known.title or f"Events of {kind}"
    return found


def other_counters(experiment: str, shown: ShownAttempt | None) -> dict[str, int | float]:
    """Return the counters of an attempt that are not about events."""
    counters = shown.verdict.counters if shown is not None and shown.verdict is not None else {}
    of_events = event_counters(experiment)
    return {name: number for name, number in counters.items() if name not in of_events}


def balance_of(built: worker_job.Job | None, shown: ShownAttempt | None) -> event_balance.BalanceResult | None:
    """Return whether the event balance of a job holds; None where it has none, or nothing was counted."""
    if built is None or built.law is None or shown is None or shown.verdict is None or not shown.verdict.counters:
        return None
    return event_balance.check(built.law, shown.verdict.counters)


def moved_file(file: Transfer) -> MovedFile:
    """Return an input of an attempt."""
    return MovedFile(
        name=file.name,
        url=file.url or "",
        size=file.size,
        adler32=file.adler32,
        seconds=file.seconds,
        tries=len(file.tries),
        rate_mb_s=_rate(file.size, file.seconds),
    )


def published_files(history: JobHistory) -> Iterator[MovedFile]:
    """Yield the files that attempts of a job published, the last ones first."""
    numbers = {output.attempt.number for output in history.outputs}
    reports = [from_json(kept.report, Report) for number, kept in history.reports.items() if number in numbers]
    transfers = {file.url: file for report in reports for file in report.outputs}
    for output in history.outputs:
        yield _published(output, transfers.get(output.url))


def _published(output: Output, told: Transfer | None) -> MovedFile:
    group = output.group
    return MovedFile(
        name=output.name,
        url=output.url,
        size=output.size,
        adler32=output.adler32,
        seconds=told.seconds if told is not None else None,
        tries=len(told.tries) if told is not None else 0,
        rate_mb_s=_rate(output.size, told.seconds) if told is not None else None,
        kind=output.kind,
        state=output.state,
        events=output.events,
        attempt=output.attempt.number,
        placeholder=output.placeholder,
        kept=output.kept,
        merged=group.product.merge if group is not None else "",
        merge_job=group.job_id if group is not None else None,
    )


def _rate(size: int, seconds: float) -> float | None:
    return size / seconds / 1e6 if seconds > 0 else None
