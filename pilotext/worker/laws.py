"""The laws that a job must fulfil: its own, and those of its kind, which no exit code proves.

`hadd` and `phast` end with 0 when they lose a chunk, `ddd` when it is told to end or its disk is full.
"""

from __future__ import annotations

from collections.abc import Mapping

from pilotext.model.job import Job, Kind
from pilotext.model.verdict import Finding
from pilotext.rules import law
from pilotext.worker.checked import Checked

LAWS_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "reconstruction": ("mdst_entries == events_written",),
    "decoding": ("dump_events == raw_filtered_events",),
    "merging": (
        "mdst_entries == inputs.events",
        "hist_histogram_entries == inputs.histogram_entries",
        "hist_tree_entries == inputs.tree_entries",
        "merged.dump_events == inputs.dump_events",
        "merged.dump_bytes == inputs.dump_bytes",
    ),
}
"""Held where both sides were counted: a job without an mDST has nothing to compare."""

NOTED_LAWS_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "merging": (
        "mdst_tree_entries == inputs.tree_entries",
        "mdst_histogram_entries == inputs.histogram_entries",
    ),
}
"""Told, and no failure: what `phast -m` does with the objects beside the events is not known; `hadd` adds them all."""


def hold_laws(job: Job, counters: Mapping[str, int | float], checked: Checked) -> None:
    """Add a finding for each law that is broken. The job's own law is broken, too, by a counter that is missing."""
    own = [job.law] if job.law else []
    for name, laws in (
        ("law-broken", [*own, *_counted(LAWS_OF_KIND, job, counters)]),
        ("law-uneven", _counted(NOTED_LAWS_OF_KIND, job, counters)),
    ):
        for text in laws:
            result = law.check(text, counters)
            if not result.holds:
                checked.findings.append(Finding(name=name, text=result.sentence, phase="validate"))


def _counted(laws: Mapping[Kind, tuple[str, ...]], job: Job, counters: Mapping[str, int | float]) -> list[str]:
    return [text for text in laws.get(job.kind, ()) if all(name in counters for name in law.parse(text).names)]
