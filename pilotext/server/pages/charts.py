"""Drawings for pages, as the numbers of inline SVG: the course of an attempt by phase, curves of its resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pilotext.formatting import bytes_of, duration
from pilotext.model.report import PhaseRecord, Report, Series, Usage
from pilotext.server.pages.templatetags.pages import Tone

WIDTH, HEIGHT = 600, 100
"""Of a curve, in units of its own; a page stretches it."""

MAX_POINTS = 150
MIN_SHARE = 0.4
"""Width in percent that a phase has whatever its time, so that it can be seen."""

MAX_ROWS = 13
"""Rows of the table beside the curves."""

MB = 1_000_000


@dataclass(frozen=True)
class PhaseBar:
    """A phase with its place in the time line, in percent."""

    phase: PhaseRecord
    tone: Tone
    x: float
    width: float
    share: float
    notes: str

    @property
    def label(self) -> str:
        """Name for a bar that has room for one."""
        return self.phase.name if self.width > 1.2 * len(self.phase.name) else ""


@dataclass(frozen=True)
class ResourceCurve:
    """A quantity over the time of the payload: the path of its line, the height of its limit, and both in words."""

    name: str
    path: str
    limit_y: float | None
    words: str
    ends: str


@dataclass(frozen=True)
class SampleRow:
    """A row of the table that says the same as the curves."""

    at: str
    memory: str
    cpu: str
    disk: str
    read: str
    written: str


def time_line(report: Report) -> tuple[PhaseBar, ...]:
    """Return the phases of an attempt that were entered, one after the other, as long as each took."""
    entered = [phase for phase in report.phases if phase.outcome != "skipped"]
    total = sum(phase.seconds or 0.0 for phase in entered) or 1.0
    room = 100 - MIN_SHARE * len(entered)
    bars: list[PhaseBar] = []
    x = 0.0
    for phase in entered:
        share = (phase.seconds or 0.0) / total
        width = MIN_SHARE + room * share
        bars.append(
            PhaseBar(phase, _tone(phase), round(x, 2), round(width, 2), round(100 * share, 1), _notes(phase, report))
        )
        x += width
    return tuple(bars)


def _tone(phase: PhaseRecord) -> Tone:
    tones: dict[str, Tone] = {"done": "good", "failed": "bad", "running": "moving"}
    return tones.get(phase.outcome, "ended")


def _notes(phase: PhaseRecord, report: Report) -> str:
    """Return the failed tries and the findings of a phase in words."""
    moved = {"stage-in": report.inputs, "stage-out": report.outputs}.get(phase.name, ())
    tries = sum(len(file.tries) for file in moved)
    if phase.outcome == "failed":
        tries += len(report.tries)
    found = [finding.name for finding in report.findings if finding.phase == phase.name]
    return ", ".join([*([f"{tries} failed transfer{'s' * (tries > 1)}"] if tries else []), *found])


def resource_curves(usage: Usage, memory_mb: float | None, disk_mb: float | None) -> tuple[ResourceCurve, ...]:
    """Return the curves of a payload with its limits; nothing for one that was over before a second sample."""
    series = usage.series
    if len(series.at_s) < 2 or series.at_s[-1] <= series.at_s[0]:
        return ()
    peak_cores = _rates(series.at_s, series.cpu_s)
    read = _rates(series.at_s, series.read_mb)
    return tuple(
        curve
        for curve in (
            _curve("Memory", series.at_s, series.memory_mb, memory_mb, _megabytes),
            _curve("CPU, cores in use", series.at_s, peak_cores, None, "{:.2f}".format),
            _curve("Disk of the work directory", series.at_s, series.disk_mb, disk_mb, _megabytes),
            _curve("Reading, MB a second", series.at_s, read, None, "{:.1f}".format),
        )
        if curve is not None
    )


def sample_rows(series: Series) -> tuple[SampleRow, ...]:
    """Return samples of a payload for a table, evenly chosen, the last one included."""
    number = len(series.at_s)
    if number < 2:
        return ()
    step = max(1, -(-(number - 1) // (MAX_ROWS - 1)))
    chosen = sorted({*range(0, number, step), number - 1})
    columns = (series.memory_mb, series.cpu_s, series.disk_mb, series.read_mb, series.written_mb)
    words: tuple[Callable[[float], str], ...] = (_megabytes, duration, _megabytes, _megabytes, _megabytes)
    return tuple(
        SampleRow(
            duration(series.at_s[place]),
            *(word(column[place]) if place < len(column) else "" for word, column in zip(words, columns, strict=True)),
        )
        for place in chosen
    )


def _curve(
    name: str, at_s: Sequence[float], values: Sequence[float], limit: float | None, words: Callable[[float], str]
) -> ResourceCurve | None:
    if len(values) < 2:
        return None
    at_s = at_s[: len(values)]
    peak = max(values)
    top = max(peak, limit or 0.0) * 1.05 or 1.0
    span = at_s[-1] - at_s[0] or 1.0
    points = [
        (WIDTH * (at - at_s[0]) / span, HEIGHT * (1 - max(0.0, value) / top)) for at, value in _thinned(at_s, values)
    ]
    path = "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in points)
    limit_y = None if limit is None else round(HEIGHT * (1 - limit / top), 1)
    said = f"peak {words(peak)}" + (f" of {words(limit)}, {peak / limit:.0%}" if limit else "")
    return ResourceCurve(name, path, limit_y, said, duration(at_s[-1]))


def _thinned(at_s: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the samples, the largest of each few where there are more than can be drawn."""
    few = -(-len(values) // MAX_POINTS)
    return [(at_s[begin], max(values[begin : begin + few])) for begin in range(0, len(values), few)]


def _rates(at_s: Sequence[float], totals: Sequence[float]) -> list[float]:
    pairs = zip(at_s, at_s[1:], totals, totals[1:], strict=False)
    rates = [max(0.0, later - earlier) / (end - begin) if end > begin else 0.0 for begin, end, earlier, later in pairs]
    return [rates[0], *rates] if rates else []


def _megabytes(number: float) -> str:
    return bytes_of(round(number * MB))
