"""Plots as they are drawn: stacked bars as the paths of inline SVG, and a table with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from django.urls import reverse

from pilotext.server.pages.queries import address
from pilotext.server.production.states import FAILED_ATTEMPT
from pilotext.server.production.statistics.hourly import begin_of
from pilotext.server.production.statistics.series import Hours, Measured, Part
from pilotext.server.times import HOUR_S

HOURS = 7 * 24
MAX_SERIES = 6
"""Series of a plot with a colour each; the smallest ones are summed up as `others`."""

HEIGHT = 100
BAR = 10
"""Width of a bar, in units of the drawing."""

MB = 1e6
COLOURS = {"finished": 2, "failed": 4, "lost": 3, "cancelled": 5, "verifying": 0, "others": 5}
"""Colours of series that have their own; the others get those that are free."""

FAILED = ",".join(FAILED_ATTEMPT)
Fields = dict[str, str]


@dataclass(frozen=True)
class PlotKind:
    """A plot: its title with its unit, its numbers, the number of several hours by their sum, and what a bar lists."""

    title: str
    part: Part
    numbers: Callable[[Measured], Hours]
    combine: Callable[[float, int], float]
    fields: Callable[[str], Fields]
    """Choice of what lies behind a series, on the page that `lists` it."""
    lists: Literal["attempts", "trail", ""] = "attempts"
    """Page that lists what a bar counts; empty where none does."""


def _sum(total: float, hours: int) -> float:  # noqa: ARG001  as the others
    return total


def _mean(total: float, hours: int) -> float:
    return total / hours


def _a_second(total: float, hours: int) -> float:
    return total / (hours * HOUR_S)


def _megabytes_a_second(total: float, hours: int) -> float:
    return _a_second(total, hours) / MB


def _events(found: Measured) -> Hours:
    return _only(found.usage, "events")


def _only(hours: Hours, name: str) -> Hours:
    return type(hours)(hours.default_factory, {name: hours[name]} if name in hours else {})


PLOTS = {
    "started": PlotKind(
        "Attempts started, by type",
        "work",
        lambda found: found.started,
        _sum,
        lambda name: {"by": "started", "type": name},
    ),
    "submitted": PlotKind(
        "Jobs submitted, by person",
        "submissions",
        lambda found: found.submitted,
        _sum,
        lambda _: {"subject": "task"},
        "trail",
    ),
    "states": PlotKind(
        "Attempts ended, by state", "ends", lambda found: found.ended, _sum, lambda name: {"state": name}
    ),
    "efficiency": PlotKind(
        "CPU efficiency, percent of one core", "ends", lambda found: found.usage, _sum, lambda _: {}
    ),
    "running-sites": PlotKind(
        "Attempts running, by site",
        "work",
        lambda found: found.at_sites,
        _mean,
        lambda name: {"by": "running", "site": name},
    ),
    "running-people": PlotKind(
        "Attempts running, by person",
        "work",
        lambda found: found.of_people,
        _mean,
        lambda name: {"by": "running", "submitter": name},
    ),
    "failures": PlotKind(
        "Failures, by cause", "ends", lambda found: found.failed, _sum, lambda name: {"state": FAILED, "cause": name}
    ),
    "events": PlotKind("Events processed a second", "ends", _events, _a_second, lambda _: {}),
    "storage": PlotKind(
        "MB a second moved, by storage", "transfers", lambda found: found.by_storage, _megabytes_a_second, lambda _: {}
    ),
    "sites": PlotKind(
        "MB a second moved, by site",
        "transfers",
        lambda found: found.by_site,
        _megabytes_a_second,
        lambda name: {"site": name},
    ),
    "tape": PlotKind("Files from tape, by time waited", "tape", lambda found: found.tape, _sum, lambda _: {}, ""),
}
"""Plots in the order of the page, by the names that addresses have."""

CHOSEN_BY = {"attempts": ("task", "site"), "trail": ("task",)}
"""Fields of the choice of plots that the page behind a bar has too."""


@dataclass(frozen=True)
class DrawnSeries:
    """A series with its colour, the path of its bars, and its number over the whole time, in words."""

    name: str
    colour: int
    path: str
    words: str


@dataclass(frozen=True)
class DrawnColumn:
    """The place of a bar, with what it says, and the page of what it counts; empty where no page lists that."""

    x: int
    words: str
    link: str


@dataclass(frozen=True)
class PlotCell:
    """A number of the table, and the page that lists what it counts."""

    words: str
    link: str


@dataclass(frozen=True)
class PlotRow:
    """A row of the table: a time and the numbers of all series."""

    words: str
    cells: tuple[PlotCell, ...]


@dataclass(frozen=True)
class Plot:
    """A plot as it is drawn, with its table."""

    name: str
    title: str
    width: int
    top: str
    first: str
    series: tuple[DrawnSeries, ...]
    columns: tuple[DrawnColumn, ...]
    rows: tuple[PlotRow, ...]


def draw(name: str, found: Measured, texts: Mapping[str, str], bar_h: int, row_h: int) -> Plot:
    """Return a plot with a bar for each `bar_h` hours, and a table with a row for each `row_h` hours."""
    kind = PLOTS[name]
    bars, whole = series_of(name, found, bar_h), series_of(name, found, HOURS)
    bars = {each: bars[each] for each in sorted(bars, key=lambda each: -whole[each][0])}
    shown = _summed_up(bars)
    begins = range(found.begin, found.end + 1, bar_h)
    top = max((sum(column) for column in zip(*shown.values(), strict=True)), default=0.0) or 1.0
    colours = _colours(list(shown))
    bases = [0.0] * len(begins)
    series = []
    for each, numbers in shown.items():
        path = "".join(_bars(numbers, bases, top))
        bases = [base + number for base, number in zip(bases, numbers, strict=True)]
        said = _number(whole[each][0] if each in whole else sum(whole[one][0] for one in bars if one not in shown))
        series.append(DrawnSeries(each, colours[each], path, said))
    links = _Links(kind, texts)
    columns = [
        DrawnColumn(BAR * place, f"{_clock(hour)}: {_said(shown, place)}", links.to(None, hour, bar_h))
        for place, hour in enumerate(begins)
    ]
    table = _Table(series_of(name, found, row_h), tuple(shown), found.begin, row_h, links)
    return Plot(
        name,
        kind.title,
        BAR * len(begins),
        _number(top),
        _clock(found.begin),
        tuple(series),
        tuple(columns),
        tuple(table.rows()),
    )


def series_of(name: str, found: Measured, step: int) -> dict[str, list[float]]:
    """Return the numbers of a plot, each of so many hours; those of the efficiency are shares of the wall time."""
    kind = PLOTS[name]
    hours = kind.numbers(found)
    begins = range(found.begin, found.end + 1, step)

    def combined(numbers: Mapping[int, float]) -> list[float]:
        totals = dict.fromkeys(begins, 0.0)
        for hour, number in numbers.items():
            if found.begin <= hour <= found.end:
                totals[hour - (hour - found.begin) % step] += number
        return [kind.combine(total, min(step, found.end + 1 - at)) for at, total in totals.items()]

    if name != "efficiency":
        return {each: combined(hours[each]) for each in sorted(hours)}
    if not hours:
        return {}
    shares = zip(combined(hours["CPU"]), combined(hours["wall"]), strict=True)
    return {"efficiency": [100 * cpu_s / wall_s if wall_s else 0.0 for cpu_s, wall_s in shares]}


def _summed_up(bars: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the largest series, which come first, and the sum of the others."""
    if len(bars) <= MAX_SERIES:
        return bars
    names = list(bars)
    others = [sum(column) for column in zip(*(bars[each] for each in names[MAX_SERIES - 1 :]), strict=True)]
    return {**{each: bars[each] for each in names[: MAX_SERIES - 1]}, "others": others}


def _colours(names: Sequence[str]) -> dict[str, int]:
    own = {name: COLOURS[name] for name in names if name in COLOURS}
    free = iter([colour for colour in range(MAX_SERIES) if colour not in own.values()])
    return {name: own[name] if name in own else next(free) for name in names}


def _bars(numbers: Sequence[float], bases: Sequence[float], top: float) -> Iterator[str]:
    for place, (number, base) in enumerate(zip(numbers, bases, strict=True)):
        if number > 0:
            low, high = (round(HEIGHT * (1 - value / top), 1) for value in (base, base + number))
            yield f"M{BAR * place + 1} {low:g}V{high:g}h{BAR - 2}V{low:g}z"


class _Links:
    """Addresses of the page that lists what a bar counts. Their beginnings are made once: a plot has hundreds."""

    def __init__(self, kind: PlotKind, texts: Mapping[str, str]) -> None:
        self._kind = kind
        self._texts = texts
        self._begins: dict[str | None, str] = {}

    def to(self, name: str | None, hour: int, step: int) -> str:
        """Return the page for a series, or for all where none is named; empty where nothing lists them."""
        if not self._kind.lists:
            return ""
        begin = self._begins.get(name)
        if begin is None:
            begin = self._begins[name] = self._begin(name)
        since, until = (f"{begin_of(at).timestamp():.0f}" for at in (hour, hour + step))
        return f"{begin}since={since}&until={until}"

    def _begin(self, name: str | None) -> str:
        kind = self._kind
        of_all = {each: text for each, text in kind.fields("").items() if text}
        own = kind.fields(name) if name is not None else {}
        chosen = {each: text for each, text in self._texts.items() if each in CHOSEN_BY[kind.lists]}
        begin = address(reverse(kind.lists), **{**chosen, **of_all, **own})
        return f"{begin}{'&' if '?' in begin else '?'}"


@dataclass(frozen=True)
class _Table:
    """The numbers of a plot as a table with a row for each `step` hours, the latest first."""

    series: Mapping[str, Sequence[float]]
    names: tuple[str, ...]
    begin: int
    step: int
    links: _Links

    def rows(self) -> Iterator[PlotRow]:
        number = len(next(iter(self.series.values()), ()))
        for place in reversed(range(number)):
            hour = self.begin + place * self.step
            yield PlotRow(_clock(hour), tuple(self._cell(name, place, hour) for name in self.names))

    def _cell(self, name: str, place: int, hour: int) -> PlotCell:
        known = name in self.series
        rest = (numbers[place] for each, numbers in self.series.items() if each not in self.names)
        number = self.series[name][place] if known else sum(rest)
        link = self.links.to(name if known else None, hour, self.step) if number else ""
        return PlotCell(_number(number), link)


def _said(shown: Mapping[str, Sequence[float]], place: int) -> str:
    return ", ".join(f"{name} {_number(numbers[place])}" for name, numbers in shown.items() if numbers[place]) or "none"


def _number(number: float) -> str:
    """Return a number with as many digits as a plot needs."""
    if number >= 100 or number == int(number):
        return f"{number:,.0f}".replace(",", " ")
    return f"{number:.1f}" if number >= 1 else f"{number:.3g}"


def _clock(hour: int) -> str:
    return begin_of(hour).strftime("%m-%d %H:00")
