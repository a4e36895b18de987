"""The laws that a job must fulfil: its own, and those of its kind, which no exit code proves.

`hadd` and `phast` end with 0 when they lose a chunk, `ddd` when it is told to end or its disk is full.
"""

from __future__ import annotations

from collections.abc import Mapping

from pilotext.model import Finding, Job, Kind
from pilotext.rules import law
from pilotext.worker.checked import Checked

LAWS_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "reconstruction": ("mdst_entries == events_written",),
    "decoding": ("dump_events == raw_filtered_events",),
    "merging": (
        "merged.tree_entries == inputs.tree_entries",
        "merged.histogram_entries == inputs.histogram_entries",
        "merged.dump_events == inputs.dump_events",
        "merged.dump_bytes == inputs.dump_bytes",
    ),
}
"""Held where both sides were counted: a job without an mDST has nothing to compare."""


def hold_laws(job: Job, counters: Mapping[str, int | float], checked: Checked) -> None:
    """Add a finding for each law that is broken. The job's own law is broken, too, by a counter that is missing."""
    implied = [
        text for text in LAWS_OF_KIND.get(job.kind, ()) if all(name in counters for name in law.parse(text).names)
    ]
    for text in (*filter(None, [job.law]), *implied):
        result = law.check(text, counters)
        if not result.holds:
            checked.findings.append(Finding(name="law-broken", text=result.sentence, phase="validate"))
