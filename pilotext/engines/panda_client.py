"""A PanDA server as a factory uses it, by panda-client; the variables of panda-client name the server and the user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pilotext.engines.base import BatchCommand, run
from pilotext.environment import for_wrapper
from pilotext.errors import BatchError, FieldError
from pilotext.model import Record
from pilotext.serialization.json import from_json


class JobInPanda(Record, frozen=True):
    """A job as PanDA describes it."""

    id: int
    status: str
    parameters: str | None = None
    pilot_code: int | str | None = None
    pilot_diag: str | None = None
    payload_status: int | str | None = None
    error_code: int | str | None = None
    error_diag: str | None = None


class PandaClient:
    """Requests to a PanDA server. All raise BatchError when it refuses them, or does not answer."""

    def submit(self, parameters: Mapping[str, Any]) -> int:
        """Return the number of a new JEDI task."""
        number: int = self._call("submit", int, parameters)
        return number

    def task_status(self, task: int) -> str:
        status: str = self._call("task_status", str, task)
        return status

    def task_jobs(self, task: int) -> list[JobInPanda]:
        jobs: list[JobInPanda] = self._call("task_jobs", list[JobInPanda], task)
        return jobs

    def kill_jobs(self, jobs: Sequence[int]) -> None:
        self._call("kill_jobs", type(None), list(jobs))

    def kill_task(self, task: int) -> None:
        self._call("kill_task", type(None), task)

    def _call(self, name: str, kind: Any, *arguments: Any) -> Any:
        asked = json.dumps({"call": name, "arguments": arguments}, default=msgspec.to_builtins)
        words = (sys.executable, "-P", "-m", "pilotext.engines.panda_call")
        answer = run(BatchCommand(words, asked), env=for_wrapper(os.environ))
        if answer.status != 0:
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise BatchError(f"PanDA, {name}: {last[:400]}")
        try:
            return from_json(answer.stdout.encode(), kind, where=f"the answer of PanDA to {name}")
        except FieldError as error:
            raise BatchError(str(error)) from None
