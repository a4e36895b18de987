"""Parts of a profile by which the wrapper reads the files of a job: formats of inputs, kinds of outputs, balances."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Literal

from pilotext.model import Record

FileFormat = Literal["root", "date"]
"""Formats that the wrapper can read; `pilotext.formats.event_formats` has the readers of files of events."""

FORMER_CHECKS: dict[str, FileFormat] = {"raw": "date"}
"""Former words of `check` for formats, which jobs still have: agents of former versions know only them."""

is_kind_name = re.compile(r"[A-Za-z]\w*", re.ASCII).fullmatch
"""Matches what can be a kind of outputs: counters are named by it."""

FORMAT_COUNTERS: dict[FileFormat, tuple[str, ...]] = {
    "root": (),
    "date": ("raw_events", "raw_calibration_events", "raw_filtered_events"),
}
"""Counters that the input of a job adds by its format, apart from those of all inputs of a merge."""


class OutputKind(Record, frozen=True):
    """Kind of outputs: its words on the pages, and what counts as an event of such a file."""

    title: str = ""
    """Words for people, for example `Entries of the reconstruction`; without them the kind itself is shown."""
    counts: Literal["tree", "everything"] | None = None
    """Entries of a ROOT file of this kind: `tree` counts those of its largest tree, which are events; `everything`
    counts those of all trees and histograms, which are no events. Without it: `tree`, but `everything` for a file
    that has no tree."""
    events: tuple[str, ...] = ()
    """Counters of a report that tell the number of events (or entries) in such a file; the first one that is there
    is taken. Without any: `<kind>_entries`, then `<kind>_events`."""


class Balances(Record, frozen=True):
    """Relations between counters, for example `reco_entries == events_written`.

    Each is checked where all its counters were counted: a job without such an output has nothing to compare.
    """

    hold: tuple[str, ...] = ()
    """Balances without which the job has failed (finding `law-broken`)."""
    note: tuple[str, ...] = ()
    """Balances whose breach is only reported (finding `law-uneven`)."""


class FileChecks(Record, frozen=True):
    """Formats by patterns of file names, kinds of outputs by name, balances by kind or type of jobs."""

    formats: dict[str, FileFormat] = {}
    output_kinds: dict[str, OutputKind] = {}
    balances: dict[str, Balances] | None = None

    def format_of(self, name: str) -> FileFormat | None:
        """Return the format of an input with this name, by the first pattern that fits; None where nothing is said."""
        return next((one for pattern, one in self.formats.items() if fnmatchcase(name, pattern)), None)

    def output_kind(self, kind: str) -> OutputKind:
        """Return what is said of outputs of this kind, with the counters of its events."""
        known = self.output_kinds.get(kind, OutputKind())
        if known.events:
            return known
        return OutputKind(known.title, known.counts, (f"{kind}_entries", f"{kind}_events"))

    def balances_of(self, kind: str, job_type: str, outputs: tuple[str, ...]) -> Balances:
        """Return the balances of jobs of this kind and type, with outputs of these kinds.

        A profile without `balances` asks of a merge that its file holds all that its inputs hold together.
        """
        if self.balances is None:
            return _merged_as_inputs(outputs) if kind == "merging" else Balances()
        found = [self.balances[name] for name in dict.fromkeys((kind, job_type)) if name in self.balances]
        hold = tuple(text for one in found for text in one.hold)
        return Balances(hold, tuple(text for one in found for text in one.note))


def _merged_as_inputs(outputs: tuple[str, ...]) -> Balances:
    kinds = tuple(dict.fromkeys(outputs))
    compared = [("{0}_tree_entries", "inputs.tree_entries")]
    compared += [(f"merged.{{0}}_{what}", f"inputs.{{0}}_{what}") for what in ("events", "bytes")]
    hold = tuple(f"{made} == {read}".format(kind) for kind in kinds for made, read in compared)
    return Balances(hold, tuple(f"{kind}_histogram_entries == inputs.histogram_entries" for kind in kinds))
