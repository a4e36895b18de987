"""Registry of the formats of event files, by the names that profiles give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotext.formats import date_raw
from pilotext.formats.date_raw import RawSummary


@dataclass(frozen=True)
class EventFormat:
    """Reader of one format: `walk` counts the events of a file and finds its damage.

    `on_demand` are counters that need a pass of their own over the file; each is counted where a balance names it.
    """

    walk: Callable[[Path, Callable[[], None]], RawSummary]
    on_demand: Mapping[str, Callable[[Path], int]]


def _random_or_calibration(path: Path) -> int:
    return sum(header.random_or_calibration for header in date_raw.iter_headers(path))


EVENT_FORMATS: dict[str, EventFormat] = {
    "date": EventFormat(date_raw.walk, {"raw_filtered_events": _random_or_calibration}),
}
