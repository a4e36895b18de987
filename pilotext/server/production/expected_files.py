"""Expected files of an attempt: its outputs and its log archive, by the job that its worker was given.

A profile may be changed while a job runs. What the job publishes goes where the profile said before, and is looked for
there.
"""

from __future__ import annotations

import msgspec

from pilotext.model import Record
from pilotext.model import job as worker_job
from pilotext.serialization.json import from_json
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.models import Attempt


class ExpectedFiles(Record, frozen=True, omit_defaults=True):
    """Outputs that a worker must publish, and where it delivers its log; `log` is None where logs have no place."""

    outputs: tuple[worker_job.Output, ...] = ()
    log: worker_job.LogTarget | None = None

    @property
    def by_name(self) -> dict[str, worker_job.Output]:
        """The outputs by their names in the work directory."""
        return {output.name: output for output in self.outputs}


def kept_text(job: worker_job.Job) -> str:
    """Return the expected files of a job that is given out, as its attempt keeps them."""
    outputs = tuple(msgspec.structs.replace(output, replaces=()) for output in job.outputs)
    return msgspec.json.encode(ExpectedFiles(outputs, job.log)).decode()


def expected_files(attempt: Attempt) -> ExpectedFiles:
    """Return the expected files of an attempt, which comes with its job, task and experiment.

    Those of an attempt of a former version are made of the profile as it is now: raises UsageError when that cannot
    make its job any more.
    """
    if attempt.expected_files:
        return from_json(attempt.expected_files, ExpectedFiles)
    job = build_job(attempt.task, attempt.job, attempt.number)
    return ExpectedFiles(job.outputs, job.log)
