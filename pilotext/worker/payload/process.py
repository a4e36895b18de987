"""The payload seen from the wrapper: start it, hear how it ended, end it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from pilotext.errors import PilotextError
from pilotext.model.job import Job, SoftStop, Step
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.report import StepRecord
from pilotext.model.verdict import ExitStatus
from pilotext.process_lifetime import adopt_orphans
from pilotext.serialization.json import from_plain
from pilotext.worker.monitoring.control_group import NO_GROUP, make_group
from pilotext.worker.own_files import create_file
from pilotext.worker.payload import subreaper
from pilotext.worker.payload.watchdog import resume_stopped
from pilotext.worker.process_tree import descendants, kill_below, own_children, signal_all

# Sourced in a function, the setup script sees no arguments and cannot change the program's; its output goes to stderr,
# so that stdout is the program's alone. A status other than 0 ends the job here, and so does an exit with 0, since the
# program has not run. exec makes the wait status the program's.
_SETUP_FAILED = 97
_SOURCE_AND_EXEC = f"""
pilotext_setup() {{ source "$PILOTEXT_SETUP" >&2; }}
trap 'echo "pilotext: the setup script $PILOTEXT_SETUP ended with status $?, the program was not started" >&2
exit {_SETUP_FAILED}' EXIT
pilotext_setup || exit
trap - EXIT
exec "$@"
"""

TICK_S = 0.2
_STEP_S = 0.005
SUBREAPER_PATIENCE_S = 5.0
"""Time beyond the grace that the subreaper has to end the payload before it is ended itself."""


class PayloadRefusedError(PilotextError):
    """The system did not start the program; `finding` says why."""

    def __init__(self, finding: str, message: str) -> None:
        super().__init__(message)
        self.finding = finding


class Payload:
    """One running payload.

    Use it in a `with` block: leaving the block, for whatever reason, ends every process of the payload.
    """

    def __init__(
        self, job: Job, directory: Path, environment: Mapping[str, str], deadline: float | None = None
    ) -> None:
        self.directory = directory
        self.setups = [None if step.setup is None else Path(step.setup) for step in job.programs]
        self.steps = [StepRecord(name=step.name) for step in job.programs]
        """Record of each step; the times of those that did not run are None."""
        self.left_behind = 0
        """Processes that were still there when their program had ended."""
        self.stuck = 0
        """Processes that even SIGKILL has not ended."""
        self.cpu_s = 0.0
        self.subreaper_pid = 0
        self.watchdog_pid = 0
        self.group = NO_GROUP
        self._deadline = deadline
        self._programs = [
            subreaper.Program(
                command=command_line(step),
                environment={**environment, **step.environment, **_setup_variable(step)},
                directory=directory,
                stdout=directory / STDOUT_NAME,
                stderr=directory / STDERR_NAME,
                append=number > 0,
            )
            for number, step in enumerate(job.programs)
        ]
        self._number = 0
        self._began = time.monotonic()
        self._orders = -1
        self._news = -1
        self._unread = b""
        self._over = False
        self._not_ours: list[int] = []
        self._ended_by: float | None = None

    @property
    def exit(self) -> ExitStatus | None:
        """Exit status of the step that failed, or else of the last one; None if neither has ended."""
        failed = (step.exit for step in self.steps if step.exit is not None and step.exit.code != 0)
        return next(failed, self.steps[-1].exit)

    def __enter__(self) -> Payload:
        self._not_ours = own_children()
        adopt_orphans(yes=True)  # if subreaper and watchdog are killed, their children come to us and not to init
        self.group = make_group(f"pilotext-{os.getpid()}")
        forked = subreaper.fork_subreaper(self._programs, self._deadline, self.group)
        self.watchdog_pid, self.subreaper_pid = forked.watchdog, forked.subreaper
        self._orders, self._news = forked.orders, forked.news
        return self

    def start(self, tick: Callable[[], None]) -> None:
        """Wait until the program runs; raises PayloadRefusedError if the system does not start it.

        A program on a file system that does not answer can keep us waiting: `tick` is called meanwhile and may raise.
        """
        for setup in self.setups:
            if setup is not None and not setup.is_file():
                raise PayloadRefusedError("payload-not-found", f"{setup}: the setup script is not there")
        while True:
            message = self._next_message(timeout_s=TICK_S)
            tick()
            if message is None and self._over:
                raise PayloadRefusedError("payload-not-started", "the subreaper of the payload ended at once.")
            if message is not None and self._understand(message) == "started":
                return

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s`; True when the payload and everything it started has ended.

        Raises PayloadRefusedError if the system does not start a later step.
        """
        deadline = time.monotonic() + timeout_s
        while not self._over:
            if self._ended_by is not None and time.monotonic() > self._ended_by:
                self._end_subreaper()
            message = self._next_message(timeout_s=max(0.0, deadline - time.monotonic()))
            if message is None:
                return self._over
            self._understand(message)
        return True

    def _understand(self, message: dict[str, Any]) -> str:
        """Note a message of the subreaper, and return its first word."""
        word, value = next(iter(message.items()))
        if word == "started":
            self._begin_step(*message["streams"])
        elif word == "refused":
            raise _refusal(int(value), str(message["file"]))
        elif word == "ended":
            seconds = round(time.monotonic() - self._began, 3)
            self._note(exit=from_plain(value, ExitStatus), seconds=seconds)
        elif word == "swept":
            self.left_behind += int(value)
            self.stuck += int(message["stuck"])
        elif word == "over":
            self.cpu_s = float(value)
            self._over = True
        return word

    def _begin_step(self, stdout: int, stderr: int) -> None:
        self._number += self.steps[self._number].exit is not None
        self._began = time.monotonic()
        self._note(stdout_from=stdout, stderr_from=stderr)

    def _note(self, **what: Any) -> None:
        self.steps[self._number] = replace(self.steps[self._number], **what)

    def ask_to_finish(self, soft: SoftStop) -> None:
        """Ask the program in the way that the experiment knows to finish early."""
        if soft.file is not None:
            with contextlib.suppress(OSError):  # it is only asked; what does not finish is ended
                create_file(self.directory / soft.file).close()
        if soft.signal is not None:
            self._order({"signal": int(signal.Signals[soft.signal])})

    def stop(self, grace_s: float) -> None:
        """Ask for the end of the whole tree: SIGTERM now, SIGKILL after `grace_s`."""
        self._ended_by = time.monotonic() + grace_s + SUBREAPER_PATIENCE_S
        self._order({"stop": grace_s})

    def _order(self, order: dict[str, float]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the subreaper has just ended: nothing is left to stop
            os.write(self._orders, json.dumps(order).encode() + b"\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._orders)  # subreaper and watchdog take this as our end, and end the tree
        os.close(self._news)
        if self.stuck:  # the watchdog would insist, and nobody can do more
            os.kill(self.watchdog_pid, signal.SIGKILL)
        end = time.monotonic() + SUBREAPER_PATIENCE_S
        while not self._watchdog_reaped() and time.monotonic() < end:
            resume_stopped((self.watchdog_pid, self.subreaper_pid))
            time.sleep(_STEP_S)
        if not self._watchdog_reaped():
            self._subreaper_gone()
        self.group.remove()
        adopt_orphans(yes=False)

    def _watchdog_reaped(self) -> bool:
        """Whether the watchdog, which ends last, has ended."""
        try:
            return os.waitpid(self.watchdog_pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # it was reaped before
            return True

    def _next_message(self, timeout_s: float | None) -> dict[str, Any] | None:
        """The subreaper's next message; None when the time is over or the subreaper is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._news], [], [], left)[0]:
                resume_stopped((self.subreaper_pid, self.watchdog_pid))
                return None
            data = os.read(self._news, 65536)
            if not data:
                self._subreaper_gone()
                return None
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise RuntimeError(f"the subreaper of the payload failed:\n{message['error']}")
        return message

    def _end_subreaper(self) -> None:
        """The subreaper does not do what it is asked, for example because the payload has stopped it."""
        os.kill(self.subreaper_pid, signal.SIGKILL)
        self._ended_by = None

    def _subreaper_gone(self) -> None:
        """The subreaper was killed from outside, or does not end: all that is below us is ours now, and ends here."""
        self._over = True
        if self.exit is None:
            self._number = [step.exit for step in self.steps].index(None)
            self._note(exit=ExitStatus(signal="SIGKILL"))
        self._await_watchdog()
        give_up_at = time.monotonic() + subreaper.UNKILLABLE_AFTER_S
        while (left := set(own_children()) - {*self._not_ours}) and time.monotonic() < give_up_at:
            # A process that has ended hands its children to us before it can be reaped.
            kill_below(self._not_ours)
            for child in left:
                os.waitpid(child, os.WNOHANG)
            time.sleep(subreaper.SWEEP_STEP_S)
        self.stuck += len(left)

    def _await_watchdog(self) -> None:
        """Kill what is below the watchdog, which ends then.

        If the watchdog was killed first, a process of the payload could kill us next, and nobody would end the others.
        """
        end = time.monotonic() + SUBREAPER_PATIENCE_S
        while not self._watchdog_reaped() and time.monotonic() < end:
            signal_all(descendants(self.watchdog_pid), signal.SIGKILL)
            resume_stopped((self.watchdog_pid,))
            time.sleep(_STEP_S)


def command_line(step: Step) -> tuple[str, ...]:
    """The step's command, started by bash after its setup script if it has one. Nothing else goes through a shell."""
    if step.setup is None:
        return step.command
    return ("/bin/bash", "-c", _SOURCE_AND_EXEC, "bash", *step.command)


def _setup_variable(step: Step) -> dict[str, str]:
    return {} if step.setup is None else {"PILOTEXT_SETUP": step.setup}


def _refusal(number: int, file: str) -> PayloadRefusedError:
    said = f"{file}: {os.strerror(number)}"
    if number == errno.ENOENT:
        return PayloadRefusedError("payload-not-found", said)
    if number in (errno.EACCES, errno.ENOEXEC):
        return PayloadRefusedError("payload-not-executable", said)
    return PayloadRefusedError("payload-not-started", said)
