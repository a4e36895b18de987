"""A leased job as PanDA hands jobs out: without files, since pilotext moves them and keeps the logs (docs/pilot.md)."""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings

from pilotext.server.production.dispatch.dispatcher import Lease

# A pilot takes an empty text for none; it asks for these fields by name.
_NO_FILES = dict.fromkeys(
    (
        *("inFiles", "scopeIn", "realDatasetsIn", "GUID", "fsize", "checksum", "ddmEndPointIn", "prodDBlockToken"),
        *("outFiles", "scopeOut", "realDatasets", "ddmEndPointOut", "destinationDblock"),
        *("logFile", "scopeLog", "logGUID"),
    ),
    "",
)


def panda_job(lease: Lease, address: str, label: str) -> dict[str, Any]:
    """The answer to getJob; `address` is where the wrapper gets its job, `label` the kind that was asked for."""
    job = lease.job
    limits = job.limits
    return {
        "StatusCode": 0,
        "PandaID": lease.attempt,
        "taskID": str(job.task),
        "jobName": job.label,
        "jobDefinitionID": str(job.job),
        "jobsetID": str(job.job),
        "attemptNr": job.attempt,
        "prodSourceLabel": label or "managed",
        "processingType": "pilotext",
        "prodUserID": "pilotext",
        "transformation": settings.TRF_URL,
        "jobPars": f"--job-url {address}",
        "coreCount": 1,
        "minRamCount": math.ceil(limits.memory_mb or 0),
        "maxCpuCount": math.ceil(limits.wall_s or 0),
        "maxDiskCount": math.ceil(limits.disk_mb or 0),
        "currentPriority": 1000,
        "loopingCheck": False,  # it takes waiting for a tape for a loop; the job has limits of its own
        "swRelease": "NULL",
        "homepackage": "NULL",
        "cmtConfig": "NULL",
        "transferType": "NULL",
        **_NO_FILES,
    }
