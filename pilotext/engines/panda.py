"""PanDA as an engine: jobs of our server become JEDI tasks whose payload is `pilotext-trf`, and are followed there.

The server keeps which attempt is in which JEDI task; nothing is kept here. A cycle takes PanDA's word on each job
to the server, which decides by the wrapper's report, and kills what the server does not want any more.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.panda import (
    FINAL_STATES,
    QUEUED_STATES,
    HeldAttempt,
    HeldAttempts,
    PandaJob,
    PandaJobs,
    PandaJobState,
    PandaRequest,
    PandaStates,
)
from pilotext.engines.base import BatchJob, Order, SubmissionOutcome
from pilotext.engines.panda_client import JobInPanda, PandaClient
from pilotext.engines.settings import LabelSettings, PandaSettings
from pilotext.errors import BatchError

STATES_AT_ONCE = 500
DEAD_TASKS = ("broken", "aborted", "failed", "exhausted", "finished", "done")
"""States of JEDI tasks that make no further job."""

_TASK = "task "
_ATTEMPT = re.compile(r"/api/v1/attempts/(\d{1,18})/job\?")


class PandaEngine:
    """The jobs that a label has in PanDA. The number of one is its PandaID, or `task N` while JEDI has not made it."""

    job_id = end = ""

    def __init__(
        self,
        server: str,
        label: LabelSettings,
        panda: PandaSettings,
        client: Client,
        requests: PandaClient | None = None,
    ) -> None:
        self._server = server
        self._label = label
        self._panda = panda
        self._client = client
        self._requests = requests or PandaClient()
        self._unrecorded: dict[int, int] = {}
        """JEDI tasks of attempts that the server did not hear of yet."""

    def submit(self, order: Order) -> SubmissionOutcome:
        """Take jobs of the server, and make one JEDI task of them."""
        try:
            asked = PandaRequest(self._label.site, order.name, order.count)
            jobs = self._client.post("/api/v1/panda/jobs", asked, PandaJobs).jobs
        except ServerError as error:
            return SubmissionOutcome(0, str(error))
        if not jobs:
            return SubmissionOutcome(0)
        try:
            task = self._requests.submit(task_parameters(order.name, self._server, self._label, self._panda, jobs))
        except BatchError as error:
            return self._given_back(order.name, jobs, error.message)
        self._unrecorded.update((job.attempt, task) for job in jobs)
        try:
            self._say(order.name, [PandaJobState(job.attempt, task, "defined") for job in jobs])
        except ServerError as error:
            return SubmissionOutcome(len(jobs), f"JEDI task {task} is not recorded yet: {error}")
        return SubmissionOutcome(len(jobs))

    def _given_back(self, name: str, jobs: Sequence[PandaJob], why: str) -> SubmissionOutcome:
        try:
            self._say(name, [_never_submitted(job.attempt, why) for job in jobs])
        except ServerError as error:
            return SubmissionOutcome(0, f"{why}; the server does not know yet: {error}")
        return SubmissionOutcome(0, why)

    def jobs(self, name: str) -> list[BatchJob]:
        """Follow the jobs of a label, kill those that are unwanted, and return those that have not ended."""
        try:
            held = self._say(name, [])
            states = [state for part in self._by_task(held) for state in part]
            parts = [states[at : at + STATES_AT_ONCE] for at in range(0, len(states), STATES_AT_ONCE)]
            held = [found for part in parts for found in self._say(name, part)]
        except ServerError as error:
            raise BatchError(str(error)) from None
        self._kill(_once(held))
        return [
            BatchJob(_number_of(state), queued=state.status in QUEUED_STATES)
            for state in states
            if state.status not in FINAL_STATES
        ]

    def cancel(self, numbers: Sequence[str]) -> None:
        """Kill jobs; for those that JEDI has not made, their whole JEDI tasks."""
        self._kill_jobs([int(number) for number in numbers if number.isdecimal()])
        for task in {int(number.removeprefix(_TASK)) for number in numbers if number.startswith(_TASK)}:
            self._requests.kill_task(task)

    def _say(self, name: str, states: Sequence[PandaJobState]) -> list[HeldAttempt]:
        said = PandaStates(self._label.site, name, tuple(states))
        held = self._client.post("/api/v1/panda/states", said, HeldAttempts).attempts
        for state in states:
            self._unrecorded.pop(state.attempt, None)
        return list(held)

    def _by_task(self, held: Iterable[HeldAttempt]) -> Iterator[list[PandaJobState]]:
        """Yield the states of attempts in PanDA. Raises BatchError when PanDA does not answer."""
        tasks: defaultdict[int, list[HeldAttempt]] = defaultdict(list)
        for each in held:
            tasks[each.task or self._unrecorded.get(each.attempt, 0)].append(each)
        for task, attempts in tasks.items():
            if task == 0:
                why = "the factory ended before it made a JEDI task of it"
                yield [_never_submitted(each.attempt, why) for each in attempts]
                continue
            jobs = _by_attempt(self._requests.task_jobs(task))
            status = "" if len(jobs) == len(attempts) else self._requests.task_status(task)
            yield [_state_of(each.attempt, task, jobs.get(each.attempt), status) for each in attempts]

    def _kill(self, held: Sequence[HeldAttempt]) -> None:
        """Kill unwanted jobs; where JEDI has made none yet, a JEDI task of which nothing is wanted."""
        self._kill_jobs([each.job for each in held if each.unwanted and each.job is not None])
        wanted = {each.task for each in held if not each.unwanted}
        for task in {each.task for each in held if each.unwanted and each.job is None} - wanted - {0}:
            self._requests.kill_task(task)

    def _kill_jobs(self, jobs: Sequence[int]) -> None:
        if jobs:
            self._requests.kill_jobs(jobs)


def task_parameters(
    name: str, server: str, label: LabelSettings, panda: PandaSettings, jobs: Sequence[PandaJob]
) -> dict[str, Any]:
    """Return the parameters of a JEDI task with one job for each of ours, which JEDI does not try again."""
    prefix = f"--pilotext {panda.pilotext} " if panda.pilotext else ""
    parameters: dict[str, Any] = {
        "taskName": f"pilotext.{name}.{uuid.uuid4().hex}",
        "userName": panda.user,
        "vo": panda.vo,
        "workingGroup": panda.working_group,
        "prodSourceLabel": panda.source_label,
        "processingType": "pilotext",
        "taskType": "prod",
        "taskPriority": panda.priority,
        "architecture": "",
        "transUses": "",
        "transHome": "",
        "transPath": panda.transformation or f"{server.rstrip('/')}/trf/pilotext-trf",
        "site": label.site,
        "noInput": True,
        "pfnList": [job.address for job in jobs],
        "nFiles": len(jobs),
        "nFilesPerJob": 1,
        "jobParameters": [{"type": "constant", "value": f"{prefix}--job-url ${{IN/L}}"}],
        "skipScout": True,
        "noLoopingCheck": True,
        "maxAttempt": 1,
        "maxFailure": 1,
        "coreCount": 1,
        "walltime": int(label.wall_s),
        **_limits(jobs),
    }
    return {**parameters, "cloud": panda.cloud} if panda.cloud else parameters


def _limits(jobs: Sequence[PandaJob]) -> dict[str, Any]:
    """Return the largest memory and disk of the jobs, as far as they have limits."""
    memory = max((job.memory_mb or 0 for job in jobs), default=0)
    disk = max((job.disk_mb or 0 for job in jobs), default=0)
    limits: Mapping[str, Any] = {"ramCount": int(memory), "ramUnit": "MB"} if memory else {}
    return {**limits, "workDiskCount": int(disk), "workDiskUnit": "MB"} if disk else dict(limits)


def _by_attempt(jobs: Iterable[JobInPanda]) -> dict[int, JobInPanda]:
    """Return the last PanDA job of each attempt, which the address in its parameters names."""
    found = {}
    for job in sorted(jobs, key=lambda job: job.id):
        if match := _ATTEMPT.search(job.parameters or ""):
            found[int(match[1])] = job
    return found


def _state_of(attempt: int, task: int, job: JobInPanda | None, status: str) -> PandaJobState:
    if job is None and status in DEAD_TASKS:
        return PandaJobState(attempt, task, "failed", error_diag=f"JEDI task {task} is {status} and made no job of it.")
    if job is None:
        return PandaJobState(attempt, task, "defined")
    return PandaJobState(
        attempt,
        task,
        job.status[:30] or "unknown",
        job.id,
        pilot_code=_number(job.pilot_code),
        pilot_diag=_text(job.pilot_diag),
        payload_status=_number(job.payload_status),
        error_code=_number(job.error_code),
        error_diag=_text(job.error_diag),
    )


def _number_of(state: PandaJobState) -> str:
    return f"{_TASK}{state.task}" if state.job is None else str(state.job)


def _never_submitted(attempt: int, why: str) -> PandaJobState:
    return PandaJobState(attempt, 0, "closed", error_diag=_text(why))


def _once(held: Iterable[HeldAttempt]) -> list[HeldAttempt]:
    """Return each attempt once; one that is unwanted in any answer is unwanted."""
    found: dict[int, HeldAttempt] = {}
    for each in held:
        if each.attempt not in found or each.unwanted:
            found[each.attempt] = each
    return list(found.values())


def _number(value: int | str | None) -> int:
    """Return a number of PanDA, which may be text, or NULL for none."""
    text = str(value)
    return int(text) if text.lstrip("-").isdecimal() else 0


def _text(value: str | None) -> str:
    return "" if value in (None, "NULL") else str(value)[:500]
