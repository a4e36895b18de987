"""Grid Engine (SGE, UGE, Altair): task arrays by `qsub`, `qstat` as XML, `qdel` by task."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from xml.etree import ElementTree

from pilotext.engines.base import BatchCommand, BatchJob, CommandOutput, Order
from pilotext.errors import BatchError


class GridEngineCommands:
    """Commands of Grid Engine 6.2 or newer; `-notify` has a job warned by SIGUSR2 before it is killed."""

    job_id = "${JOB_ID}_$SGE_TASK_ID"
    end = ""

    def submit(self, order: Order) -> list[BatchCommand]:
        words = (
            *("qsub", "-terse", "-notify", "-S", "/bin/sh", "-N", order.name, "-t", f"1-{order.count}"),
            *("-l", f"h_rt={int(order.label.wall_s)}", "-j", "y", "-o", str(order.output)),
            *order.label.options,
            str(order.script),
        )
        return [BatchCommand(words, jobs=order.count)]

    def query(self, name: str) -> BatchCommand:  # noqa: ARG002  qstat cannot choose by it
        return BatchCommand(("qstat", "-xml", "-g", "d", "-u", getpass.getuser()))

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:
        text = answer.checked()
        try:
            root = ElementTree.fromstring(text)  # noqa: S314  written by the batch system itself
        except ElementTree.ParseError:
            raise BatchError(f"qstat printed something else than XML: {text.strip():.100}") from None
        return [_job(row) for row in root.iter("job_list") if row.findtext("JB_name") == name]

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        return BatchCommand(("qdel", *numbers))


def _job(row: ElementTree.Element) -> BatchJob:
    number, task = row.findtext("JB_job_number"), row.findtext("tasks") or "1"
    return BatchJob(f"{number}.{task}", queued=row.get("state") == "pending", id=f"{number}_{task}")
