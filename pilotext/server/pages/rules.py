"""Rules: the catalogue with their hits, one rule with its relations, and trials of changed rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.errors import UsageError
from pilotext.profile import default_experiment, known_experiments
from pilotext.rules.schema import Rule, RuleSet
from pilotext.server.pages.access import may, page
from pilotext.server.pages.queries import whole_number
from pilotext.server.production.lookup import no_such
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import rules_of
from pilotext.server.production.rule_trials.patch import text_of
from pilotext.server.production.rule_trials.records import TrialRequest
from pilotext.server.production.rule_trials.trial import MAX_REPORTS, newest_reports, run_trial
from pilotext.server.production.statistics.rule_hits import (
    MAX_READ,
    NONE,
    PERIODS_DAYS,
    Hits,
    hits_by_code,
    hits_of,
    matched_without_election,
)

MAX_TEXT_BYTES = 60_000
"""Of a rule file and a log together; a form of the pages has at most 64 KiB."""

MAX_EXIT_CODE = 255
SHOW = {"all": "all rules", "hit": "hit in 30 days", "never": "never hit", "dropped": "matched, never elected"}


@dataclass(frozen=True)
class CatalogueLine:
    """A rule with its hits, and how often it matched without being elected."""

    rule: Rule
    hits: Hits
    dropped: int


@page("viewer")
def catalogue(request: HttpRequest) -> HttpResponse:
    """Show the rules of an experiment with their hits."""
    rules, which = _rules(request), request.GET.get("show", "all")
    if which not in SHOW:
        raise no_such("list of rules", which, SHOW)
    words = {
        "experiment": rules.experiment,
        "experiments": known_experiments(),
        "lines": lines_of(rules, which),
        "show": which,
        "choices": SHOW,
        "days": PERIODS_DAYS,
        "read": MAX_READ,
        "digest": rules.digest,
    }
    return render(request, "pages/rules.html", words)


@page("viewer")
def show(request: HttpRequest, experiment: str, rule: str) -> HttpResponse:
    """Show a rule: its text, its examples, its hits by site and task, what it explains and what explains it."""
    rules = _rules(request, experiment)
    found = rules.rule(rule)
    if found is None:
        raise no_such("rule", rule, (each.id for each in rules.rules))
    told = hits_of(found.code.label)
    words = {
        "rule": found,
        "text": text_of(found, rules.experiment) if found.place.file.is_file() else "",
        "experiment": rules.experiment,
        "told": told,
        "hits_by_days": list(zip(PERIODS_DAYS, told.hits.numbers, strict=True)),
        "explains": _known(rules, found.text.explains),
        "explained_by": _explained_by(rules, found),
        "may_try": may(request, "expert"),
    }
    return render(request, "pages/rule.html", words)


@page("expert", methods=("GET", "HEAD", "POST"))
def try_rules(request: HttpRequest) -> HttpResponse:
    """Show the form of a trial; by POST, its result. Nothing is written."""
    given = request.POST if request.method == "POST" else request.GET
    rules = _rules(request, given.get("experiment", ""))
    words: dict[str, object] = {
        "experiment": rules.experiment,
        "experiments": known_experiments(),
        "job_types": sorted(rules.kinds),
        "most": MAX_REPORTS,
        "asked": TrialRequest(rules.experiment, _draft(rules, given.get("rule", ""))),
        "reports": MAX_REPORTS,
    }
    if request.method == "POST":
        asked, number = _asked(request, rules.experiment)
        words |= {"asked": asked, "reports": number, "result": run_trial(_with_reports(asked, number))}
    return render(request, "pages/rules_try.html", words)


def lines_of(rules: RuleSet, which: str) -> list[CatalogueLine]:
    """Return the chosen rules, those with the most hits first, then by their codes."""
    hits, dropped = hits_by_code(), matched_without_election()
    lines = [CatalogueLine(rule, hits.get(rule.code.label, NONE), dropped[rule.id]) for rule in rules.rules]
    kept = [line for line in lines if which in ("all", _kind_of(line))]
    return sorted(kept, key=lambda line: (-line.hits.numbers[-1], line.rule.code.number))


def _kind_of(line: CatalogueLine) -> str:
    """Return in which list of rules a rule stands; a rule that is not active stands in none but the whole one."""
    if line.hits.last:
        return "hit"
    if line.dropped:
        return "dropped"
    return "never" if line.rule.text.status == "active" else ""


def _shown_first() -> str:
    """Return the experiment whose rules are shown where none is chosen."""
    try:
        return default_experiment()
    except UsageError:  # the page has a choice of them
        return known_experiments()[0]


def _rules(request: HttpRequest, experiment: str = "") -> RuleSet:
    name = experiment or request.GET.get("experiment") or _shown_first()
    if name not in known_experiments():
        raise no_such("experiment", name, known_experiments())
    return rules_of(name)


def _known(rules: RuleSet, names: Sequence[str]) -> list[Rule]:
    return [found for name in names if (found := rules.rule(name)) is not None]


def _explained_by(rules: RuleSet, rule: Rule) -> list[Rule]:
    return [*(each for each in rules.rules if rule.id in each.text.explains), *_known(rules, rule.text.consequence_of)]


def _draft(rules: RuleSet, name: str) -> str:
    """Return the rule file to begin with: a rule as it is today, or an empty one."""
    found = rules.rule(name)
    if found is not None and found.place.file.is_file():
        return text_of(found, rules.experiment)
    return f"format: 1\nexperiment: {rules.experiment}\n\nrules:\n"


def _asked(request: HttpRequest, experiment: str) -> tuple[TrialRequest, int]:
    rules, log = _text(request, "rules"), _text(request, "log")
    if len(rules.encode()) + len(log.encode()) > MAX_TEXT_BYTES:
        raise RefusalError("too-large", f"rules and log together have more than {MAX_TEXT_BYTES} bytes.")
    number = whole_number(request.POST.get("reports", "0"), MAX_REPORTS)
    code = whole_number(request.POST.get("exit_code", "0") or "0", MAX_EXIT_CODE)
    if number is None:
        raise RefusalError("invalid", f"at most {MAX_REPORTS} kept reports can be tried.")
    if code is None:
        raise RefusalError("invalid", f"an exit code is a number from 0 to {MAX_EXIT_CODE}.")
    stream = request.POST.get("stream", "stdout")
    if stream not in ("stdout", "stderr"):
        raise no_such("stream", stream, ("stdout", "stderr"))
    job_type = request.POST.get("job_type", "")
    return TrialRequest(experiment, rules, log, stream, job_type, code), number


def _text(request: HttpRequest, field: str) -> str:
    file = request.FILES.get(field)
    if file is None:
        return request.POST.get(field, "").replace("\r\n", "\n")
    raw: bytes = file.read(MAX_TEXT_BYTES + 1)
    return raw.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _with_reports(asked: TrialRequest, number: int) -> TrialRequest:
    return msgspec.structs.replace(asked, reports=newest_reports(asked.experiment, number))
