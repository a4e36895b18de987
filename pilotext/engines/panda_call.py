"""One call of panda-client in a process of its own: JSON on stdin names it, and its answer is JSON on stdout.

panda-client reads its settings when it is imported, prints as it likes, may end the process, and waits up to ten
minutes for an answer: none of that happens to the factory, which ends a process that takes too long.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

JOB_FIELDS = {
    "id": "PandaID",
    "status": "jobStatus",
    "parameters": "jobParameters",
    "pilot_code": "pilotErrorCode",
    "pilot_diag": "pilotErrorDiag",
    "payload_status": "transExitCode",
    "error_code": "exeErrorCode",
    "error_diag": "exeErrorDiag",
}
"""Fields of a job in our answers, and in PanDA's."""


class CallError(Exception):
    """PanDA refused what was asked, or did not answer."""


def submit(client: Any, parameters: Mapping[str, Any]) -> int:
    """Return the number of a new JEDI task."""
    code, message = _answer(client.insertTaskParams(dict(parameters)))
    found = re.search(r"jediTaskID=(\d+)", str(message))
    if code != 0 or found is None:
        raise CallError(f"the JEDI task was refused with code {code}: {message}")
    return int(found[1])


def task_status(client: Any, task: int) -> str:
    """Return the status of a JEDI task."""
    return str(_answer(client.getTaskStatus(task)))


def task_jobs(client: Any, task: int) -> list[dict[str, Any]]:
    """Return the jobs of a JEDI task."""
    numbers = _answer(client.getPandaIDsWithTaskID(task))
    found = _answer(client.getFullJobStatus(numbers)) if numbers else []
    jobs = [job for job in found if job is not None]
    return [{name: getattr(job, field, None) for name, field in JOB_FIELDS.items()} for job in jobs]


def kill_jobs(client: Any, jobs: list[int]) -> None:
    """Ask PanDA to kill jobs."""
    _answer(client.killJobs(jobs))


def kill_task(client: Any, task: int) -> None:
    """Ask PanDA to kill a JEDI task with all its jobs."""
    accepted, message = _answer(client.killTask(task))
    if not accepted:
        raise CallError(f"JEDI task {task} is not killed: {message}")


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call for call in (submit, task_status, task_jobs, kill_jobs, kill_task)
}


def _answer(said: tuple[int, Any]) -> Any:
    """Return the data of an answer. Raises CallError."""
    status, data = said
    if status != 0 or data is None:
        raise CallError(f"PanDA did not answer, or refused the request: {said}")
    return data


def main() -> int:
    """Carry out the call on stdin; texts that panda-client prints go to stderr."""
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        client = importlib.import_module("pandaclient.Client")
        done = CALLS[asked["call"]](client, *asked["arguments"])
    except ImportError as error:
        print(f"panda-client is missing ({error}): install the extra `panda`.", file=sys.stderr)
        return 1
    except CallError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(done, answers)
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
