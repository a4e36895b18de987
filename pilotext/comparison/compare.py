"""Comparison of the contents of two productions, object by object."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.comparison.contents import Contents, Histogram
from pilotext.comparison.probability import P_VALUES
from pilotext.comparison.records import FilesFinding, Kind, ObjectFinding, Tolerances


def compare(old: Contents, new: Contents, tolerances: Tolerances) -> FilesFinding:
    """Compare all trees, histograms and profiles that one of both has."""
    return FilesFinding(
        (*_trees(old, new, tolerances), *_histograms(old, new, tolerances), *_profiles(old, new, tolerances))
    )


def _trees(old: Contents, new: Contents, tolerances: Tolerances) -> Iterator[ObjectFinding]:
    for name in sorted(old.trees.keys() | new.trees.keys()):
        yield _by_entries(name, "tree", old.trees.get(name), new.trees.get(name), tolerances)


def _profiles(old: Contents, new: Contents, tolerances: Tolerances) -> Iterator[ObjectFinding]:
    for name in sorted(old.profiles.keys() | new.profiles.keys()):
        found = _by_entries(name, "profile", old.profiles.get(name), new.profiles.get(name), tolerances)
        if found.finding == "same":
            why = "only its entries were compared: means of bins cannot be added over files"
            found = ObjectFinding(name, "profile", "not compared", found.old, found.new, why=why)
        yield found


def _histograms(old: Contents, new: Contents, tolerances: Tolerances) -> Iterator[ObjectFinding]:
    for name in sorted(old.histograms.keys() | new.histograms.keys()):
        first, second = old.histograms.get(name), new.histograms.get(name)
        found = _by_entries(name, "histogram", _filled(first), _filled(second), tolerances)
        if first is None or second is None or found.finding == "differs":
            yield found
        else:
            yield _by_shape(name, first, second, tolerances)


def _filled(histogram: Histogram | None) -> float | None:
    return None if histogram is None else histogram.entries


def _by_entries(name: str, kind: Kind, old: float | None, new: float | None, tolerances: Tolerances) -> ObjectFinding:
    if old is None or new is None:
        return ObjectFinding(name, kind, "only in new" if old is None else "only in old", old, new)
    if abs(new - old) > tolerances.entries * max(old, new):
        why = f"{_number(old)} entries, now {_number(new)}"
        return ObjectFinding(name, kind, "differs", old, new, why=why)
    return ObjectFinding(name, kind, "same", old, new)


def _by_shape(name: str, old: Histogram, new: Histogram, tolerances: Tolerances) -> ObjectFinding:
    entries = (old.entries, new.entries)
    if not old.same_bins(new):
        return ObjectFinding(name, "histogram", "differs", *entries, why="its bins are others")
    if old.same_contents(new):
        return ObjectFinding(name, "histogram", "same", *entries, 1.0)
    if not (old.is_finite and new.is_finite):
        return ObjectFinding(name, "histogram", "differs", *entries, why="a bin holds no finite number")
    p_value = P_VALUES[tolerances.test](old, new)
    if p_value is None:
        why = "the test is not made for it: it has several axes, negative contents, or is empty on one side"
        return ObjectFinding(name, "histogram", "not compared", *entries, why=why)
    if p_value < tolerances.p_value:
        why = f"the probability of such a difference by chance is {p_value:.2g}, below {tolerances.p_value:g}"
        return ObjectFinding(name, "histogram", "differs", *entries, p_value, why)
    return ObjectFinding(name, "histogram", "same", *entries, p_value)


def _number(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")
