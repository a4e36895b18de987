"""Batch systems as the factory sees them: submit, list and cancel, each by commands of the batch system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pilotext.api.schemas.factories import BatchEnd
from pilotext.engines.settings import LabelSettings
from pilotext.environment import for_wrapper, is_credential
from pilotext.errors import BatchError

COMMAND_WITHIN_S = 120.0
"""A command of a batch system that takes longer is ended; its answer is unknown."""

_MAX_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True)
class BatchJob:
    """A job that the batch system knows."""

    number: str
    queued: bool
    """Whether it has not begun."""
    id: str = ""
    """The same number as its script knows it, which is the end of its agent's name; empty: as `number`."""
    end: BatchEnd | None = None
    """End of it; None: it has not ended."""


@dataclass(frozen=True)
class Order:
    """Batch jobs to submit: their name, the script of each, the folder for their output, and how many."""

    name: str
    script: Path
    output: Path
    label: LabelSettings
    count: int = 1


@dataclass(frozen=True)
class BatchCommand:
    """Words of a command, its input, and the number of batch jobs that it submits."""

    words: tuple[str, ...]
    stdin: str = ""
    jobs: int = 1


@dataclass(frozen=True)
class CommandOutput:
    """Output of a command that ended."""

    status: int
    stdout: str
    stderr: str = ""

    def checked(self) -> str:
        """Return the output. Raises BatchError unless the command succeeded."""
        if self.status != 0:
            said = " ".join((self.stderr or self.stdout).split())[:_MAX_MESSAGE_CHARACTERS]
            raise BatchError(f"status {self.status}: {said or 'no message'}")
        return self.stdout


@dataclass(frozen=True)
class SubmissionOutcome:
    """Batch jobs that were accepted, and the message of the first command that failed."""

    jobs: int
    message: str = ""


class BatchCommands(Protocol):
    """Commands of a batch system, and the parts of the script that are its own."""

    job_id: str
    """Shell word with the number of the batch job."""
    end: str
    """Shell word with the end of the slot in seconds since 1970; empty where only the requested time is known."""

    def submit(self, order: Order) -> list[BatchCommand]:
        """Return the commands that submit the batch jobs of an order."""

    def query(self, name: str) -> BatchCommand:
        """Return the command that lists our batch jobs of a name."""

    def jobs(self, answer: CommandOutput, name: str) -> list[BatchJob]:
        """Return the batch jobs in the answer to `query`, with ended ones if it names them.

        Raises BatchError for anything that is not an answer.
        """

    def cancel(self, numbers: Sequence[str]) -> BatchCommand:
        """Return the command that ends batch jobs."""


class Engine(Protocol):
    """A place where batch jobs run."""

    job_id: str
    end: str

    def submit(self, order: Order) -> SubmissionOutcome:
        """Submit the batch jobs of an order; whatever fails is in the answer."""

    def jobs(self, name: str) -> list[BatchJob]:
        """Return our batch jobs of a name, and those that ended lately where the batch system tells how.

        Raises BatchError when that is unknown.
        """

    def cancel(self, numbers: Sequence[str]) -> None:
        """End batch jobs. Raises BatchError."""


class CommandEngine:
    """A batch system that is used by its commands."""

    def __init__(self, commands: BatchCommands) -> None:
        self._commands = commands
        self.job_id = commands.job_id
        self.end = commands.end

    def submit(self, order: Order) -> SubmissionOutcome:
        done = 0
        for command in self._commands.submit(order):
            try:
                run(command).checked()
            except BatchError as error:
                return SubmissionOutcome(done, error.message)
            done += command.jobs
        return SubmissionOutcome(done)

    def jobs(self, name: str) -> list[BatchJob]:
        return self._commands.jobs(run(self._commands.query(name)), name)

    def cancel(self, numbers: Sequence[str]) -> None:
        if numbers:
            run(self._commands.cancel(numbers)).checked()


def environment() -> dict[str, str]:
    """Return the environment for commands of batch systems, which pass it on to batch jobs: without credentials."""
    return {name: value for name, value in for_wrapper(os.environ).items() if not is_credential(name)}


def run(
    command: BatchCommand, within_s: float = COMMAND_WITHIN_S, env: Mapping[str, str] | None = None
) -> CommandOutput:
    """Run a command to its end, by default without credentials in its environment.

    Raises BatchError when it cannot be started, or takes too long.
    """
    try:
        process = subprocess.Popen(
            command.words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment() if env is None else dict(env),
            start_new_session=True,
        )
    except OSError as error:
        raise BatchError(f"{command.words[0]} cannot be started: {error.strerror}.") from None
    with process:
        try:
            out, err = process.communicate(command.stdin.encode(), timeout=within_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(process.pid, signal.SIGKILL)
            raise BatchError(f"{command.words[0]} did not answer within {within_s:g} s.") from None
    return CommandOutput(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
