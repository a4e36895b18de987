"""Sanitizing of reports: texts that any database can store, and a bound on the size of each report.

Nobody types a report: it quotes what a payload wrote, and it is the only word on an attempt. So a strange text in it is
mended, where the same from a person would be refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from pilotext.errors import FieldError
from pilotext.model.report import Report, Series, Transfer
from pilotext.model.verdict import Evidence, Match
from pilotext.redaction import MAX_TEXT_CHARACTERS, shortened
from pilotext.serialization.json import from_json, from_plain
from pilotext.server.production.refusal import RefusalError

_STRANGE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

_LONG = re.compile(rb'"[^"]{%d}' % MAX_TEXT_CHARACTERS)
"""Escapes that may be trouble, and what may be a text that is too long: seldom enough to look more closely then."""

_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
"""PostgreSQL keeps no U+0000, and no UTF-8 a half of a surrogate pair."""

_NUMBERS = frozenset(("counters", "fields"))
"""In these, a value that JSON has no number for is left out: it says nothing."""


def read_report(body: bytes) -> tuple[Report, str]:
    """A report, and the text of it to keep; U+FFFD stands for what cannot be kept, long texts are cut.

    Raises FieldError for anything but a report.
    """
    if not (_STRANGE.search(body) or _LONG.search(body)):
        try:
            return from_json(body, Report), body.decode()
        except (FieldError, RecursionError, ValueError):
            pass  # the closer look says what is wrong with it, if it cannot be mended
    plain = _leniently(body, MAX_TEXT_CHARACTERS)
    return from_plain(plain, Report), json.dumps(plain, ensure_ascii=False, allow_nan=False)


def decoded(body: bytes | str) -> Any:
    """Any other JSON document as plain data, its texts mended alike, none cut. Raises FieldError for what is none."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if not _STRANGE.search(raw):
        try:
            return msgspec.json.decode(raw)
        except (RecursionError, ValueError):
            pass  # as above
    return _leniently(raw, len(raw))


def _leniently(body: bytes, longest: int) -> Any:
    try:
        return _mended(json.loads(body.decode("utf-8", "replace"), strict=False), longest)
    except RecursionError:
        raise FieldError("", "this JSON document is nested too deeply.") from None
    except ValueError as error:
        raise FieldError("", f"this is not a JSON document: {error}") from None


def _mended(value: Any, longest: int, key: str = "") -> Any:
    if isinstance(value, str):
        return shortened(_UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value), longest)
    if isinstance(value, dict):
        items = ((_mended(name, longest), _mended(each, longest, name)) for name, each in value.items())
        return {name: each for name, each in items if each is not None or key not in _NUMBERS}
    if isinstance(value, list):
        return [_mended(each, longest, key) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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
