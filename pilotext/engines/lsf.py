"""LSF: job arrays by `bsub`, `bjobs` by job name, `bkill` by element."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pilotext.engines.base import BatchCommand, BatchJob, CommandOutput, Order
from pilotext.errors import BatchError

_QUEUED = ("PEND", "PSUSP", "WAIT")
_RUNNING = ("RUN", "PROV", "SSUSP", "USUSP", "UNKWN")
_ENDED = ("DONE", "EXIT", "ZOMBI")
_NONE = re.compile(r"^(Job <.*> is not found|No unfinished job found)$", re.MULTILINE)


class LSFCommands:
    """Commands of LSF 10, which warns jobs by the action of `-wa`."""

    job_id = "${LSB_JOBID}_$LSB_JOBINDEX"
    end = ""

    def submit(self, order: Order) -> list[BatchCommand]:
        label = order.label
        words = (
            *("bsub", "-J", f"{order.name}[1-{order.count}]", "-W", str(max(1, int(label.wall_s // 60)))),
            *("-wa", "TERM", "-wt", str(max(1, int(label.warn_s // 60))), "-o", f"{order.output}/%J_%I.out"),
            *(("-n", str(label.slots), "-R", "span[hosts=1]") if label.slots > 1 else ()),
            *label.options,
            *("/bin/sh", str(order.script)),
        )
        return [BatchCommand(words, jobs=order.count)]

    def query(self, name: str) -> BatchCommand:
        return BatchCommand(("bjobs", "-noheader", "-o", "jobid jobindex stat delimiter='|'", "-J", name))

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:  # noqa: ARG002  bjobs has chosen by it
        if answer.status != 0 and not answer.stdout.strip() and _NONE.search(answer.stderr):
            return []  # that is an answer
        found = [_row(line) for line in answer.checked().splitlines() if line.strip()]
        return [
            BatchJob(f"{number}[{index}]", queued=state in _QUEUED, id=f"{number}_{index}")
            for number, index, state in found
            if state not in _ENDED
        ]

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        return BatchCommand(("bkill", *numbers))


def _row(line: str) -> tuple[str, str, str]:
    number, index, state = (*line.strip().split("|"), "", "")[:3]
    if not number.isdigit() or state not in _QUEUED + _RUNNING + _ENDED:
        raise BatchError(f"bjobs printed something else than jobs: {line.strip():.100}")
    return number, index, state
