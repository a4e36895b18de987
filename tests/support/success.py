"""A report of a job that brought everything it was to bring."""

from __future__ import annotations

from pilotext.model.job import Job, JobIdentity
from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Finding, Verdict


def success_of(job: Job) -> Report:
    outputs = tuple(
        Transfer(file.name, f"{file.destinations[0]}{file.published_name}", 1000, "0a0b0c0d", 1.0)
        for file in job.outputs
    )
    counters: dict[str, int | float] = {"events_processed": 90, "events_skipped": 10, "events_written": 50}
    return Report(
        pilotext="1",
        job=JobIdentity.of(job),
        state="done",
        phase="report",
        exit_status=0,
        verdict=Verdict(verdict="success", counters=counters),
        started=1.0,
        ended=2.0,
        host="wn1",
        outputs=outputs,
        findings=(Finding("output-replaced", "empty", "validate", {"file": "testevtdump.raw"}),),
    )
