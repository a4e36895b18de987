"""Bound of what the database keeps of one report: repeated evidence goes first, verdict and outputs never."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from pilotext.model.report import Report, Series, Transfer
from pilotext.model.verdict import Evidence, Match
from pilotext.redaction import shortened
from pilotext.server.production.refusal import RefusalError

MAX_KEPT_BYTES = 1024 * 1024
"""Of one report as JSON; the largest that real jobs have sent is a tenth of it."""

MAX_MATCHES = 100
MAX_QUOTED_CHARACTERS = 1000
MAX_ENTRIES = 50


def fitted(report: Report) -> Report:
    """Return the report, or as much of it as may be kept. Raises RefusalError where even the essential is too large.

    The same report always becomes the same one.
    """
    for shorten in (_as_it_is, *_STEPS):
        report = shorten(report)
        if len(msgspec.json.encode(report)) <= MAX_KEPT_BYTES:
            return report
    raise RefusalError(
        "too-large", f"the outputs and counters of this report alone have more than {MAX_KEPT_BYTES} bytes."
    )


def _as_it_is(report: Report) -> Report:
    return report


def _other_matches_quoted_once(report: Report) -> Report:
    also = tuple(_quoted(match, 1) for match in report.verdict.also)
    return replace(report, verdict=replace(report.verdict, also=also))


def _no_series(report: Report) -> Report:
    return replace(report, usage=replace(report.usage, series=Series()))


def _few_tries(report: Report) -> Report:
    return replace(
        report,
        inputs=tuple(_tried(each) for each in report.inputs),
        outputs=tuple(_tried(each) for each in report.outputs),
        log=report.log and _tried(report.log),
        tries=report.tries[-MAX_ENTRIES:],
    )


def _few_entries(report: Report) -> Report:
    verdict = report.verdict
    return replace(
        report,
        verdict=replace(
            verdict,
            evidence=tuple(_cut(each) for each in verdict.evidence[:MAX_ENTRIES]),
            also=verdict.also[:MAX_MATCHES],
            dropped=verdict.dropped[:MAX_MATCHES],
        ),
        steps=report.steps[-MAX_ENTRIES:],
        findings=tuple(
            replace(each, text=shortened(each.text, MAX_QUOTED_CHARACTERS)) for each in report.findings[:MAX_ENTRIES]
        ),
        files={},
    )


def _least(report: Report) -> Report:
    return replace(report, inputs=(), verdict=replace(report.verdict, also=(), dropped=()))


_STEPS: tuple[Callable[[Report], Report], ...] = (
    _other_matches_quoted_once,
    _no_series,
    _few_tries,
    _few_entries,
    _least,
)


def _quoted(match: Match, times: int) -> Match:
    return replace(match, evidence=tuple(_cut(each) for each in match.evidence[:times]))


def _cut(evidence: Evidence) -> Evidence:
    return replace(evidence, text=shortened(evidence.text, MAX_QUOTED_CHARACTERS), before=(), after=())


def _tried(transfer: Transfer) -> Transfer:
    return replace(transfer, tries=transfer.tries[-2:])
