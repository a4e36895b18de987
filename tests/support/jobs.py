"""Jobs for tests, complete but for what a test is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilotext.model.job import Job
from pilotext.serialization.json import from_plain

CHECKOUT = Path(__file__).resolve().parents[2]
PAYLOADS = CHECKOUT / "fixtures/payloads"


def job_document(**fields: Any) -> dict[str, Any]:
    """A job as its JSON document: `/bin/true`, of type `shell`, with these fields set or replaced.

    A storage that is away is not waited for, unless `limits` say so.
    """
    fields["limits"] = {"stage_out_s": 0, **fields.get("limits", {})}
    return {
        "format": 1,
        "experiment": "COMPASS",
        "type": "shell",
        "kind": "tool",
        "task": "test",
        "job": 1,
        "command": ["/bin/true"],
        **fields,
    }


def make_job(**fields: Any) -> Job:
    """The same as a record, not checked by `pilotext.worker.job_source`."""
    return from_plain(job_document(**fields), Job)
