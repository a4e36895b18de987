"""Logs of an attempt: the evidence out of its report, slices of the archived files, searches in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Verdict
from pilotext.server.pages.access import page
from pilotext.server.pages.attempts import find_attempt, report_of
from pilotext.server.pages.queries import address, whole_number
from pilotext.server.pages.quotes import Quote, file_of, quote_of
from pilotext.server.production.models import Attempt
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import rules_of
from pilotext.server.production.storage.log_cache import CachedLog, LogUnavailableError, open_archive
from pilotext.server.production.storage.log_place import LogPlace, notes_on_verdict, place_of_log
from pilotext.server.production.storage.log_text import MAX_HITS, MAX_LINES, LogText, NumberedLine, SearchError

BEFORE = 20
"""Lines that are shown before the line that was asked for."""

RANGE = re.compile(r"([0-9]{1,12})(?:-([0-9]{1,12}))?")
USUAL_FILES = (STDOUT_NAME, STDERR_NAME)


@dataclass(frozen=True)
class LoggedAttempt:
    """An attempt with its report, its verdict, and the place of its log."""

    row: Attempt
    report: Report | None
    verdict: Verdict | None
    place: LogPlace

    @property
    def evidence(self) -> list[Evidence]:
        """Every quoted line: of the verdict, and of other rules that matched."""
        if self.verdict is None:
            return []
        return [*self.verdict.evidence, *(one for match in self.verdict.also for one in match.evidence)]


@dataclass(frozen=True)
class EvidenceLink:
    """A quoted line of a file, with the address of the page that begins there."""

    evidence: Evidence
    link: str


@dataclass(frozen=True)
class ShownLine:
    """A line with its address; `hit` is one that a rule matched, `chosen` one that the address names."""

    line: NumberedLine
    link: str
    hit: bool
    chosen: bool


@page("viewer")
def show(request: HttpRequest, job: int, attempt: int) -> HttpResponse:
    """Show the evidence of an attempt with the lines around it, out of its report: no storage is asked."""
    found = logged_attempt(job, attempt)
    experiment = found.row.task.experiment.name
    rules = {rule.id: rule for rule in rules_of(experiment).rules}
    named = [*USUAL_FILES, *(name for one in found.evidence if (name := file_of(one)))]
    quotes: list[Quote] = [quote_of(one, rules.get(one.rule)) for one in found.evidence]
    words = {
        "attempt": found.row,
        "experiment": experiment,
        "verdict": found.verdict,
        "place": found.place,
        "quotes": quotes,
        "notes": [*(notes_on_verdict(found.report) if found.report is not None else ()), *found.place.notes],
        "files": list(dict.fromkeys(named)),
    }
    return render(request, "pages/log.html", words)


@page("viewer")
def show_text(request: HttpRequest, job: int, attempt: int, name: str) -> HttpResponse:
    """Show a slice of a log: around a line, from a byte on, or what a search finds.

    What keeps the server from reading it stands in its place, and the evidence of the report is a link away.
    """
    found = logged_attempt(job, attempt)
    words: dict[str, object] = {"attempt": found.row, "place": found.place, "name": name, "notes": found.place.notes}
    try:
        logs = archive_of(found)
        words["files"] = list(logs)
        words |= _text_words(request, found, log_named(logs, name))
    except LogUnavailableError as error:
        words["problem"] = str(error)
    return render(request, "pages/log_text.html", words)


@page("viewer")
def download(request: HttpRequest, job: int, attempt: int, name: str) -> HttpResponse:  # noqa: ARG001
    """Return a file of an archive as it is."""
    try:
        log = log_named(archive_of(logged_attempt(job, attempt)), name)
        content = log.path.read_bytes()
    except LogUnavailableError as error:
        raise RefusalError("busy", str(error)) from None
    except OSError:
        raise RefusalError("busy", "the archive has just left the cache; ask again.") from None
    answer = HttpResponse(content, content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{job}-{attempt}-{_safe(name)}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def logged_attempt(job: int, number: int) -> LoggedAttempt:
    """Return an attempt of a job with its log's place. Raises RefusalError where there is none of this number."""
    row = find_attempt(job, number)
    read = report_of(row)
    return LoggedAttempt(row, read.report, read.verdict, place_of_log(row, read.report))


def archive_of(found: LoggedAttempt) -> dict[str, CachedLog]:
    """Return the files of the archive of an attempt. Raises LogUnavailableError."""
    if not found.place.url:
        raise LogUnavailableError("There is no archive to read.")
    return dict(open_archive(found.place.url, found.row.task.experiment_id, adler32=found.place.adler32))


def log_named(logs: dict[str, CachedLog], name: str) -> CachedLog:
    """Return a file of an archive. Raises RefusalError where there is none of this name."""
    if name not in logs:
        raise RefusalError("not-found", f"the archive has no file {name!r:.80}; it has {', '.join(logs) or 'none'}.")
    return logs[name]


def _text_words(request: HttpRequest, found: LoggedAttempt, log: CachedLog) -> dict[str, object]:
    text = LogText(log)
    path = request.path
    mine = [one for one in found.evidence if file_of(one) == log.name and one.line]
    links = [EvidenceLink(one, _to_lines(path, one.line)) for one in sorted(mine, key=lambda one: one.line)]
    query = request.GET.get("q", "").strip()
    if query:
        return {"log": log, "links": links, "query": query, **_search_words(request, text, path, query)}
    chosen = _range(request.GET.get("lines", ""))
    first, problem = _first_place(request, text, chosen, mine)
    lines = text.slice(first)
    numbers = {one.line for one in mine}
    shown = [
        ShownLine(line, _link(path, line), line.number in numbers, line.number is not None and line.number in chosen)
        for line in lines
    ]
    before, after = max(0, first - MAX_LINES), first + len(lines)
    earlier = text.slice(before, 1) if first > 0 else []
    return {
        "log": log,
        "links": links,
        "lines": shown,
        "missing_line": problem,
        "total": text.lines,
        "place_first": first + 1,
        "place_last": after,
        "earlier": address(path, at=earlier[0].at) if earlier else "",
        "later": address(path, at=text.slice(after, 1)[0].at) if after < text.lines else "",
        "begin": address(path, at=0),
        "end": address(path, at=log.size),
    }


def _first_place(
    request: HttpRequest, text: LogText, chosen: range, evidence: list[Evidence]
) -> tuple[int, int | None]:
    """Return the place of the first line to show, and the number of a line that was asked for and is not there."""
    asked = chosen.start if chosen else None
    at = request.GET.get("at", "")
    if asked is None and at:
        byte = whole_number(at)
        if byte is None:
            raise RefusalError("invalid", f"a log has no byte {at!r:.20}.")
        place = text.place_of(byte)
        return (place if place < text.lines else max(0, text.lines - MAX_LINES)), None
    if asked is None and evidence:
        asked = evidence[0].line
    if asked is None:
        return max(0, text.lines - MAX_LINES), None
    found = text.place_of_line(asked)
    if found is None:
        return max(0, text.lines - MAX_LINES), asked
    return max(0, found - BEFORE), None


def _search_words(request: HttpRequest, text: LogText, path: str, query: str) -> dict[str, object]:
    pattern = request.GET.get("kind") == "pattern"
    try:
        hits = text.search(query, pattern=pattern)
    except SearchError as error:
        return {"search_problem": str(error), "pattern": pattern}
    shown = [ShownLine(line, _link(path, line), hit=False, chosen=False) for line in hits[:MAX_HITS]]
    return {"hits": shown, "more": len(hits) > MAX_HITS, "pattern": pattern, "total": text.lines}


def _range(text: str) -> range:
    """Return the lines that an address names, as `812` or `800-830`. Raises RefusalError for anything else."""
    if not text:
        return range(0)
    found = RANGE.fullmatch(text)
    if found is None:
        raise RefusalError("invalid", f"lines are named as 812 or 800-830, not {text!r:.20}.")
    first, last = int(found[1]), int(found[2] or found[1])
    return range(first, max(first, last) + 1)


def _to_lines(path: str, line: int) -> str:
    return f"{address(path, lines=line)}#L{line}"


def _link(path: str, line: NumberedLine) -> str:
    return _to_lines(path, line.number) if line.number is not None else address(path, at=line.at)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", Path(name).name)[:100]
