"""The archive of a job's logs: what an expert needs to judge the job again, in one compressed file."""

from __future__ import annotations

import tarfile
from pathlib import Path

from pilotext.model import Job
from pilotext.worker.payload import STDERR_NAME, STDOUT_NAME
from pilotext.worker.report import REPORT_NAME

MEMBERS = (REPORT_NAME, STDOUT_NAME, STDERR_NAME)


def archive_name(job: Job) -> str:
    """The name given by the job, else `<task>-<job>-<attempt>.job.log.tgz`."""
    return (job.log.name if job.log else None) or f"{job.label}.job.log.tgz"


def make_archive(job: Job, directory: Path) -> Path:
    """Pack the report and the payload's streams, as far as they exist, into the work directory."""
    path = directory / archive_name(job)
    try:
        with tarfile.open(path, "w:gz", compresslevel=6) as archive:
            for name in MEMBERS:
                if (directory / name).is_file():
                    archive.add(directory / name, arcname=f"{job.label}/{name}")
    except OSError:
        path.unlink(missing_ok=True)  # half an archive only takes room, and there may be none left
        raise
    return path
