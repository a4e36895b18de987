"""Records of a comparison: its tolerances, and what was found for each object of two sets of ROOT files."""

from __future__ import annotations

from typing import Literal

from pilotext.model import Record

Test = Literal["chi2", "ks"]
Kind = Literal["tree", "histogram", "profile"]
Finding = Literal["same", "differs", "only in old", "only in new", "not compared"]

AGREEING: tuple[Finding, ...] = ("same", "not compared")


class Tolerances(Record, frozen=True):
    """Tolerances of differences between two productions.

    `p_value` is the probability below which two histograms differ. `entries` is the part, 0 to 1, by which the entries
    of a tree or histogram may differ.
    """

    test: Test = "chi2"
    p_value: float = 0.001
    entries: float = 0.0


class ObjectFinding(Record, frozen=True):
    """Comparison of one object by its name in the files, with its entries in the old and in the new files.

    `p_value` is None where no test was made; `why` says what differs, or why nothing was compared.
    """

    name: str
    kind: Kind
    finding: Finding
    old: float | None = None
    new: float | None = None
    p_value: float | None = None
    why: str = ""


class FilesFinding(Record, frozen=True):
    """Comparison of all objects of two sets of files."""

    objects: tuple[ObjectFinding, ...]

    @property
    def agrees(self) -> bool:
        """Whether no object differs and none is missing on one side."""
        return all(each.finding in AGREEING for each in self.objects)


class ProductFinding(Record, frozen=True):
    """Comparison of one merged product of two tasks. `problem` says why its files were not compared."""

    run: int
    merge: str
    agrees: bool
    problem: str
    objects: tuple[ObjectFinding, ...]


class TasksFinding(Record, frozen=True):
    """Comparison of all chosen products of two tasks with the same tolerances."""

    old: str
    new: str
    tolerances: Tolerances
    agrees: bool
    products: tuple[ProductFinding, ...]
