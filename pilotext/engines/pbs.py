"""PBS Professional, OpenPBS and Torque: `qsub` once a batch job, `qstat -f`, `qdel`.

Their job arrays differ; single jobs are the same everywhere.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence

from pilotext.engines.base import BatchCommand, BatchJob, CommandOutput, Order
from pilotext.errors import BatchError

_NO_SUCH_JOB = 153
"""Exit status for PBSE_UNKJOBID, 15001, of which a status has the lowest 8 bits."""

_ENDED = "CFX"
_RUNNING = "RESUB"
_JOB = re.compile(r"^Job Id:[ \t]*(?P<number>\S+)$(?P<fields>.*?)(?=^Job Id:|\Z)", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^[ \t]+(?P<name>Job_Name|Job_Owner|job_state) = (?P<value>\S+)", re.MULTILINE)


class PBSCommands:
    """Commands that all kinds of PBS have in common."""

    job_id = "${PBS_JOBID%%.*}"
    end = ""

    def submit(self, order: Order) -> list[BatchCommand]:
        minutes, seconds = divmod(int(order.label.wall_s), 60)
        wall = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
        output = ("-j", "oe", "-o", f"{order.output}/")
        words = ("qsub", "-N", order.name, "-l", f"walltime={wall}", *output, *order.label.options, str(order.script))
        return [BatchCommand(words)] * order.count

    def query(self, name: str) -> BatchCommand:  # noqa: ARG002  qstat cannot choose by it
        return BatchCommand(("qstat", "-f"))

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:
        if answer.status == _NO_SUCH_JOB and not answer.stdout.strip():
            return []  # that is an answer of the server
        text = answer.checked()
        if text.strip() and not _JOB.match(text.lstrip()):
            raise BatchError(f"qstat printed something else than jobs: {text.strip():.100}")
        found = []
        for job in _JOB.finditer(text):
            fields = {field["name"]: field["value"] for field in _FIELD.finditer(job["fields"])}
            mine = fields.get("Job_Owner", "").partition("@")[0] == getpass.getuser()
            state = fields.get("job_state", "")
            if mine and fields.get("Job_Name") == name and state not in _ENDED:
                number = job["number"]
                found.append(BatchJob(number, queued=state not in _RUNNING, id=number.partition(".")[0]))
        return found

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        return BatchCommand(("qdel", *numbers))
