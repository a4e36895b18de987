"""Contents of ROOT files as a comparison needs them: entries of trees, and histograms with their uncertainties.

The files of one product are parts of a whole: their entries and histograms are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotext.errors import FormatError
from pilotext.formats.root_file import HISTOGRAMS, NTUPLE, PROFILES, TREES, is_newest, keys_of, open_root

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """A histogram of one to three axes: edges of the bins of each, contents and variances with under- and overflow.

    `values` and `variances` have the shape (bins + 2, ...), `edges` (bins + 1,) for each axis; `entries` is how often
    it was filled.
    """

    edges: tuple[Numbers, ...]
    values: Numbers
    variances: Numbers
    entries: float

    def same_bins(self, other: Histogram) -> bool:
        """Whether both have the same number of axes with the same bins."""
        return len(self.edges) == len(other.edges) and all(
            len(mine) == len(their) and bool(np.allclose(mine, their, rtol=1e-12, atol=0.0))
            for mine, their in zip(self.edges, other.edges, strict=True)
        )

    def same_contents(self, other: Histogram) -> bool:
        """Whether two histograms of the same bins hold the same numbers."""
        return all(
            bool(np.array_equal(mine, their, equal_nan=True))
            for mine, their in ((self.values, other.values), (self.variances, other.variances))
        )

    @property
    def is_finite(self) -> bool:
        """Whether all contents and variances are finite numbers."""
        return bool(np.isfinite(self.values).all() and np.isfinite(self.variances).all())

    def plus(self, other: Histogram) -> Histogram:
        """Return the sum of two histograms of the same bins."""
        return Histogram(
            self.edges,
            self.values + other.values,
            self.variances + other.variances,
            self.entries + other.entries,
        )


@dataclass
class Contents:
    """Objects of the files of a product by name: entries of trees and of profiles, and histograms."""

    trees: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    profiles: dict[str, float] = field(default_factory=dict)


def read_contents(paths: Iterable[Path]) -> Contents:
    """Read the newest cycle of each object and add those of the same name.

    Raises OSError for a file that cannot be read, and FormatError for one that is not whole, or whose histogram has
    other bins than that of another file.
    """
    found = Contents()
    for path in paths:
        _add_file(path, found)
    return found


def _add_file(path: Path, found: Contents) -> None:
    name = "its header"
    try:
        with open_root(path) as file:
            for name, key in keys_of(file):
                if is_newest(name, key):
                    _add_object(path, name, key, found)
    except (ImportError, OSError, FormatError):
        raise
    except Exception as error:  # any error that damage can cause: the reader's own, zlib's, assertions
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise FormatError(path, 0, f"{name} cannot be read: {reason}") from error


def _add_object(path: Path, name: str, key: Any, found: Contents) -> None:
    if key.fClassName in (*TREES, NTUPLE):
        found.trees[name] = found.trees.get(name, 0) + int(key.get().num_entries)
    elif key.fClassName.startswith(PROFILES):
        found.profiles[name] = found.profiles.get(name, 0) + float(key.get().member("fEntries"))
    elif key.fClassName.startswith(HISTOGRAMS):
        read = _histogram(key.get())
        known = found.histograms.get(name)
        if known is not None and not known.same_bins(read):
            raise FormatError(path, 0, f"the histogram {name} has other bins than in the other files of this product")
        found.histograms[name] = read if known is None else known.plus(read)


def _histogram(read: Any) -> Histogram:
    variances = read.variances(flow=True)
    values = np.asarray(read.values(flow=True), dtype=np.float64)
    return Histogram(
        edges=tuple(np.asarray(axis.edges(), dtype=np.float64) for axis in read.axes),
        values=values,
        variances=values if variances is None else np.asarray(variances, dtype=np.float64),
        entries=float(read.member("fEntries")),
    )
