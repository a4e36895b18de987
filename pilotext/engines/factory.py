"""The factory: cycles that count, ask, submit and report.

A restart forgets pauses and the counts of submissions, and nothing else: batch jobs are found by their name.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pilotext import __version__
from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.factories import (
    MAX_AGENTS,
    EndedBatchJob,
    FactoryReport,
    FactorySeen,
    LabelReport,
    SiteWork,
)
from pilotext.engines.base import BatchCommands, BatchJob, CommandEngine, Engine, Order, SubmissionOutcome
from pilotext.engines.decision import FactoryDecision, Situation, decide, pause_after
from pilotext.engines.gridengine import GridEngineCommands
from pilotext.engines.htcondor import HTCondorCommands
from pilotext.engines.local import LocalEngine
from pilotext.engines.lsf import LSFCommands
from pilotext.engines.panda import PandaEngine
from pilotext.engines.pbs import PBSCommands
from pilotext.engines.script import name_of, script_of
from pilotext.engines.settings import FactoryFile
from pilotext.engines.slurm import SlurmCommands
from pilotext.errors import BatchError, UsageError
from pilotext.formatting import counted_words

COMMANDS: dict[str, type[BatchCommands]] = {
    "slurm": SlurmCommands,
    "htcondor": HTCondorCommands,
    "pbs": PBSCommands,
    "gridengine": GridEngineCommands,
    "lsf": LSFCommands,
}
"""Batch systems that are used by their commands."""

_REFUSALS = (401, 403)

MAX_MESSAGE_CHARACTERS = 500


def engine_of(file: FactoryFile, name: str, client: Client) -> Engine:
    """Return the batch system of a label; PanDA gets the jobs of the server."""
    label = file.labels[name]
    if label.panda is not None:
        return PandaEngine(file.server, label, label.panda, client)
    return LocalEngine(Path(file.folder)) if label.system == "local" else CommandEngine(COMMANDS[label.system]())


@dataclass
class _Course:
    """Numbers of a label since the start of the factory."""

    requested: int = 0
    submitted: int = 0
    failed: int = 0
    failures_in_a_row: int = 0
    not_before: float = 0.0
    message: str = ""
    message_at: float = 0.0
    told: frozenset[EndedBatchJob] = frozenset()
    """Ended batch jobs that the server knows of, as long as the batch system lists them."""


@dataclass
class FactoryRun:
    """A running factory; `work` returns when `stop` is set, `cycle` does everything once."""

    file: FactoryFile
    client: Client
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.folder = Path(self.file.folder)
        self.engines: Mapping[str, Engine] = {
            name: engine_of(self.file, name, self.client) for name in self.file.labels
        }
        self._started = self.clock()
        self._courses = {name: _Course() for name in self.file.labels}

    def work(self) -> None:
        """Repeat cycles until `stop` is set. Raises ServerError when the server refuses the token."""
        while not self.stop.is_set():
            self.cycle()
            self.stop.wait(self.file.cycle_s)

    def cycle(self) -> None:
        """Count, ask, submit and report once, for each label."""
        labels = tuple(self._label(name) for name in self.file.labels if not self.stop.is_set())
        report = FactoryReport(self.file.name, self._started, labels, socket.gethostname(), __version__)
        try:
            self.client.post("/api/v1/factories", report, FactorySeen)
        except ServerError as error:
            self._refused(error)
            self.say(f"the server did not take the report: {error}")
        else:
            for label in labels:
                self._courses[label.label].told |= {*label.ended}

    def _label(self, name: str) -> LabelReport:
        label, course = self.file.labels[name], self._courses[name]
        situation = self._situation(name)
        decision = decide(label, situation)
        submitted = self._submit(name, decision)
        if decision.why and decision.why != course.message and situation.pause_s == 0:
            self._note(name, decision.why)
        return LabelReport(
            label=name,
            site=label.site,
            system=label.system,
            starts="pilot" if label.pilot or label.panda else "agent",
            slots=label.slots,
            requested=course.requested,
            submitted=course.submitted,
            failed=course.failed,
            queued=None if situation.queued is None else situation.queued + submitted,
            running=situation.running,
            message=course.message,
            message_at=course.message_at,
            agents=situation.agents,
            ended=tuple(each for each in situation.ended if each not in course.told)[:MAX_AGENTS],
        )

    def _situation(self, name: str) -> Situation:
        label, course = self.file.labels[name], self._courses[name]
        queued = running = waiting = agents = None
        ended: tuple[EndedBatchJob, ...] = ()
        elsewhere, hold, trouble = 0, "", []
        try:
            known = self.engines[name].jobs(name_of(self.file, name))
            mine = [job for job in known if job.end is None]
            queued = sum(job.queued for job in mine)
            running = len(mine) - queued
            ended = tuple(EndedBatchJob(self._name(name, job), job.end) for job in known if job.end is not None)
            course.told &= {*ended}
            if not label.panda and running <= MAX_AGENTS:
                agents = tuple(self._name(name, job) for job in mine if not job.queued)
        except BatchError as error:
            trouble.append(f"{label.system}: {error}")
        try:
            query = {"site": label.site, "factory": self.file.name, "label": name}
            work = self.client.get("/api/v1/factories/work", SiteWork, query)
            waiting, elsewhere, hold = work.waiting, work.queued_elsewhere, work.hold
        except ServerError as error:
            self._refused(error)
            trouble.append(str(error))
        pause_s = max(0.0, course.not_before - self.clock())
        return Situation(queued, running, waiting, elsewhere, hold, pause_s, "; ".join(trouble), agents, ended)

    def _name(self, label: str, job: BatchJob) -> str:
        """Return the name that the agent of a batch job has, or what its pilot was told."""
        return f"{name_of(self.file, label)}.{job.id or job.number}"

    def _submit(self, name: str, decision: FactoryDecision) -> int:
        """Submit the batch jobs of a decision; returns how many were accepted."""
        if decision.submit == 0:
            return 0
        course = self._courses[name]
        try:
            done = self.engines[name].submit(self._order(name, decision.submit))
        except OSError as error:  # the folder is full, or its file system is away
            done = SubmissionOutcome(0, f"{self.folder}: {error.strerror}")
        course.requested += decision.submit
        course.submitted += done.jobs
        if done.jobs:
            self.say(f"{name}: {counted_words(done.jobs, 'batch job')} submitted")
        if done.message:
            course.failed += 1
            course.failures_in_a_row += 1
            course.not_before = self.clock() + pause_after(course.failures_in_a_row)
            self._note(name, f"the submission failed: {done.message}")
        else:
            course.failures_in_a_row = 0
        return done.jobs

    def _order(self, name: str, count: int) -> Order:
        """Return the order of so many batch jobs, with their script written to the folder."""
        output, script = self.folder / "output", self.folder / f"{name}.sh"
        output.mkdir(parents=True, exist_ok=True)
        if self.file.labels[name].panda is None:
            script.write_text(script_of(self.file, name, self.engines[name]))
        return Order(name_of(self.file, name), script, output, self.file.labels[name], count)

    def cancel(self, name: str) -> int:
        """End all batch jobs of a label; returns how many there were. Raises BatchError."""
        mine = [job for job in self.engines[name].jobs(name_of(self.file, name)) if job.end is None]
        self.engines[name].cancel([job.number for job in mine])
        return len(mine)

    def _note(self, name: str, message: str) -> None:
        course = self._courses[name]
        course.message, course.message_at = message[:MAX_MESSAGE_CHARACTERS], self.clock()
        self.say(f"{name}: {message}")

    def _refused(self, error: ServerError) -> None:
        """Raise the error when another try cannot help: the token was revoked, or has expired."""
        if error.status in _REFUSALS:
            raise error


@contextmanager
def only_one(file: FactoryFile) -> Iterator[None]:
    """Hold the folder of a factory. Raises UsageError when another one works in it: both would count the same jobs."""
    folder = Path(file.folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / f"{file.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        advice = "Stop it, or give this one another name."
        raise UsageError(f"{folder}: a factory {file.name} is running already.", advice=advice) from None
    finally:
        os.close(held)
