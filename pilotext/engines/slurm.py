"""Slurm: job arrays by `sbatch`, `squeue` by job name, `scancel` by number."""

from __future__ import annotations

from collections.abc import Sequence

from pilotext.api.schemas.factories import BatchEnd
from pilotext.engines.base import BatchCommand, BatchJob, CommandOutput, Order
from pilotext.errors import BatchError

_QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_ENDS: dict[str, BatchEnd] = {
    "COMPLETED": "finished",
    "FAILED": "failed",
    "BOOT_FAIL": "node-failed",
    "NODE_FAIL": "node-failed",
    "PREEMPTED": "preempted",
    "TIMEOUT": "time-limit",
    "DEADLINE": "time-limit",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "OUT_OF_MEMORY": "memory",
}
"""States of jobs that have ended; Slurm lists these jobs for MinJobAge, five minutes if the site has not changed it."""


class SlurmCommands:
    """Commands of Slurm 21.08 or newer."""

    job_id = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}_${SLURM_ARRAY_TASK_ID:-0}"
    # The variable is there from 23.02; before, the controller says it. One element of an array has the number of all.
    end = '${SLURM_JOB_END_TIME:-$(date -d "$(squeue -h -j "$id" -o %e)" +%s)}'

    def submit(self, order: Order) -> list[BatchCommand]:
        label = order.label
        words = (
            "sbatch",
            "--parsable",
            f"--job-name={order.name}",
            f"--array=1-{order.count}",
            f"--time={max(1, int(label.wall_s // 60))}",
            f"--signal=B:TERM@{int(label.warn_s)}",
            f"--output={order.output}/%x-%A_%a.out",
            "--no-requeue",
            *((f"--cpus-per-task={label.slots}",) if label.slots > 1 else ()),
            *label.options,
            str(order.script),
        )
        return [BatchCommand(words, jobs=order.count)]

    def query(self, name: str) -> BatchCommand:
        chosen = ("--me", "--array", "--states=all", f"--name={name}")
        return BatchCommand(("squeue", "--noheader", *chosen, "--format=%i|%T"))

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:  # noqa: ARG002  squeue has chosen by it
        return [_job(line) for line in answer.checked().splitlines() if line.strip()]

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        return BatchCommand(("scancel", *numbers))


def _job(line: str) -> BatchJob:
    number, separator, state = line.strip().partition("|")
    if not separator or not number[:1].isdigit():
        raise BatchError(f"squeue printed something else than jobs: {line.strip():.100}")
    return BatchJob(number, queued=state in _QUEUED, end=_ENDS.get(state))
