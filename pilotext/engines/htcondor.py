"""HTCondor: submit descriptions, `condor_q` by an attribute of our own, `condor_rm` by number."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pilotext.engines.base import BatchCommand, BatchJob, CommandOutput, Order
from pilotext.errors import BatchError

_QUEUED = (1, 5)
"""Idle, and held: held jobs count, or a site that holds all of them would be given more and more."""
_RUNNING = (2, 6, 7)
"""Running, transferring output, suspended."""

_DESCRIPTION = """\
universe = vanilla
executable = {script}
output = {output}/{name}-$(ClusterId)_$(ProcId).out
error = {output}/{name}-$(ClusterId)_$(ProcId).err
environment = "PILOTEXT_BATCH_JOB=$(ClusterId)_$(ProcId)"
batch_name = {name}
+PilotextName = "{name}"
+MaxRuntime = {wall}
request_cpus = {slots}
should_transfer_files = IF_NEEDED
when_to_transfer_output = ON_EXIT
periodic_remove = (JobStatus == 2 && time() - EnteredCurrentStatus > {wall}) || \\
    (JobStatus == 5 && time() - EnteredCurrentStatus > 3600)
{options}queue {count}
"""


class HTCondorCommands:
    """Commands of HTCondor 9 or newer."""

    job_id = "$PILOTEXT_BATCH_JOB"
    end = ""

    def submit(self, order: Order) -> list[BatchCommand]:
        description = _DESCRIPTION.format(
            name=order.name,
            script=order.script,
            output=order.output,
            wall=int(order.label.wall_s),
            slots=order.label.slots,
            options="".join(f"{line}\n" for line in order.label.options),
            count=order.count,
        )
        return [BatchCommand(("condor_submit", "-terse", "-"), description, jobs=order.count)]

    def query(self, name: str) -> BatchCommand:
        chosen = ("-attributes", "ClusterId,ProcId,JobStatus", "-constraint", f'PilotextName == "{name}"')
        return BatchCommand(("condor_q", "-json", *chosen))

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:  # noqa: ARG002  condor_q has chosen by it
        text = answer.checked().strip()
        try:
            rows = json.loads(text) if text else []
            found = [(f"{row['ClusterId']}", f"{row['ProcId']}", row["JobStatus"]) for row in rows]
        except (ValueError, KeyError, TypeError):
            raise BatchError(f"condor_q printed something else than jobs: {text:.100}") from None
        return [
            BatchJob(f"{cluster}.{process}", queued=state in _QUEUED, id=f"{cluster}_{process}")
            for cluster, process, state in found
            if state in _QUEUED + _RUNNING
        ]

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        return BatchCommand(("condor_rm", *numbers))
