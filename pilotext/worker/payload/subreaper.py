"""Subreaper: a small process between the wrapper and the payload, so that nothing of the payload outlives either.

The wrapper forks it for the payload's time, below a watchdog (`pilotext.worker.payload.watchdog`). It leads a session
of its own and is the child subreaper of everything the payload starts, so daemonised grandchildren stay below it. It
starts the payload's programs one after the other, until one fails, and ends what each of them leaves behind. It ends
the whole tree when asked or when the wrapper is gone (its end of the control pipe closes, however the wrapper died),
and leaves only when no process is left below it.

Messages are JSON lines. To the subreaper: `{"stop": grace_s}`, and `{"signal": number}` for the program alone. From it
first `{"subreaper": its pid}`; for each program: `{"started": pid, "streams": bytes in both before}` or `{"refused":
errno, "file": name}`, then `{"ended": ExitStatus}`, then `{"swept": processes left behind, "stuck": those that SIGKILL
does not end}`; and last `{"over": CPU seconds of all of them}`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from pilotext.directory_tree import is_regular
from pilotext.model.verdict import ExitStatus, signal_name
from pilotext.process_lifetime import adopt_orphans, resumed_without, tied
from pilotext.worker.monitoring.control_group import NO_GROUP, ControlGroup
from pilotext.worker.own_files import move_away
from pilotext.worker.payload.watchdog import WATCH_EVERY_S, let_go, resume_stopped, watch
from pilotext.worker.process_tree import descendants, kill_below, own_children, signal_all
from pilotext.worker.stop_signals import ignore_all, restore_all

SWEEP_STEP_S = 0.02
LEFTOVER_GRACE_S = 0.5
"""Time between SIGTERM and SIGKILL for processes that the ended program left behind."""

DEADLINE_MARGIN_S = 1.0
"""Time over the payload's limit after which the subreaper ends it; the wrapper does so earlier, unless stopped."""

UNKILLABLE_AFTER_S = 10.0
"""Time for which SIGKILL is repeated: a process that hangs in the kernel, on a dead file system, takes none."""


@dataclass(frozen=True)
class Program:
    """Program to start: arguments, environment, folder, and the files that take its two streams, new or appended to."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    stdout: Path
    stderr: Path
    append: bool = False


@dataclass(frozen=True)
class Forked:
    """The two processes beside a payload, and the wrapper's ends of the pipes to the subreaper."""

    watchdog: int
    subreaper: int
    orders: int
    news: int


@dataclass(frozen=True)
class _Task:
    """Task of watchdog and subreaper, and their ends of the pipes to the wrapper."""

    programs: Sequence[Program]
    deadline: float | None
    group: ControlGroup
    wrapper: int
    orders: int
    news: int


def fork_subreaper(
    programs: Sequence[Program], deadline: float | None = None, group: ControlGroup = NO_GROUP
) -> Forked:
    """Fork the subreaper of a payload, below a watchdog. Call it from a process with one thread.

    At `deadline` (monotonic) they end the payload, if the wrapper has not done so. The subreaper and the payload are in
    `group`.
    """
    orders_read, orders_write = os.pipe()
    news_read, news_write = os.pipe()
    task = _Task(programs, deadline, group, os.getpid(), orders_read, news_write)
    pid = os.fork()
    if pid == 0:
        _guard_and_exit(task)
    os.close(orders_read)
    os.close(news_write)
    return Forked(pid, _subreaper_of(news_read), orders_write, news_read)


def _subreaper_of(news: int) -> int:
    """The pid of the subreaper, which is its first message."""
    told = b""
    while not told.endswith(b"\n"):
        if not (piece := os.read(news, 1)):
            raise RuntimeError("the subreaper of the payload ended at once")
        told += piece
    message = json.loads(told)
    if "error" in message:
        raise RuntimeError(f"the subreaper of the payload failed:\n{message['error']}")
    return int(message["subreaper"])


# ------------------------------------------------------------------------------ inside the watchdog and the subreaper


def _guard_and_exit(task: _Task) -> NoReturn:
    try:
        _isolate(task.orders, task.news, task.wrapper)
        watchdog = os.getpid()
        subreaper = os.fork()
        if subreaper == 0:
            _keep_and_exit(task, watchdog)
        os.close(task.news)
        watch(task.wrapper, subreaper, task.orders, task.deadline)
        if os.getppid() != task.wrapper:  # or else it still reads what the group has counted, and removes it then
            task.group.remove()
    except BaseException:  # noqa: BLE001  as below; where the pipe is closed already, the subreaper goes on alone
        with contextlib.suppress(OSError):
            _tell(task.news, {"error": traceback.format_exc()})
    finally:
        os._exit(0)


def _keep_and_exit(task: _Task, watchdog: int) -> NoReturn:
    try:
        _isolate(task.orders, task.news, watchdog)
        task.group.join()
        _tell(task.news, {"subreaper": os.getpid()})
        _Subreaper(task.orders, task.news, task.deadline, (task.wrapper, watchdog)).run(task.programs)
    except BaseException:  # noqa: BLE001  the traceback goes to the wrapper, which reports it
        _tell(task.news, {"error": traceback.format_exc()})
    finally:
        os._exit(0)


def _isolate(orders: int, news: int, parent: int) -> None:
    """A session of our own, no descriptor of the wrapper, no signal handler of it."""
    os.setsid()
    adopt_orphans(yes=True)
    signal.set_wakeup_fd(-1)
    ignore_all()
    resumed_without(parent)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    keep = sorted({orders, news})
    start = 3
    for descriptor in keep:
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def _tell(news: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the wrapper is gone; what is left is to end the tree
        os.write(news, json.dumps(message).encode() + b"\n")


class _Subreaper:
    def __init__(self, orders: int, news: int, deadline: float | None, watched: tuple[int, int]) -> None:
        self.orders = orders
        self.news = news
        self.deadline = deadline
        self.watched = watched
        """The wrapper and the watchdog, which are resumed when they are stopped."""
        self.wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_write, False)
        os.set_blocking(self.wakeup_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        self.kill_at: float | None = None
        """Moment at which the tree must be killed (monotonic time); None while it may run."""
        self.wrapper_gone = False
        self.program_pid: int | None = None
        self.childless = True
        """Whether there was no process below us when we last reaped (wait(2): ECHILD)."""

    def run(self, programs: Sequence[Program]) -> None:
        for program in programs:
            # The object must live as long as the process: when it goes, it reaps the process, and the status is lost.
            process = self._start(program)
            if process is None:
                break
            well = self._watch(process.pid)
            self._sweep()
            if not well or self.kill_at is not None or self.wrapper_gone:
                break
        let_go(self.watched)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        _tell(self.news, {"over": used.ru_utime + used.ru_stime})

    def _start(self, program: Program) -> subprocess.Popen[bytes] | None:
        try:
            append = program.append
            with _stream_file(program.stdout, append) as stdout, _stream_file(program.stderr, append) as stderr:
                sizes = [os.fstat(stream.fileno()).st_size for stream in (stdout, stderr)]
                process = subprocess.Popen(
                    list(program.command),
                    env=dict(program.environment),
                    cwd=program.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    preexec_fn=functools.partial(_before_exec, tied()),  # noqa: PLW1509  the subreaper has one thread
                )
        except OSError as error:
            _tell(self.news, {"refused": error.errno, "file": str(error.filename or program.command[0])})
            return None
        _tell(self.news, {"started": process.pid, "streams": sizes})
        return process

    def _watch(self, child: int) -> bool:
        """Until the program has ended: take orders, reap whatever dies, kill when the grace is over.

        Returns whether it ended with 0.
        """
        self.program_pid = child
        while True:
            status = self._reap(child)
            if status is not None:
                self.program_pid = None
                _tell(self.news, {"ended": msgspec.to_builtins(status)})
                return status.code == 0
            self._take_orders(timeout=self._patience())
            resume_stopped(self.watched)
            if self.deadline is not None and time.monotonic() >= self.deadline + DEADLINE_MARGIN_S:
                self.kill_at = self.deadline
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                kill_below()

    def _patience(self) -> float:
        if self.kill_at is None:
            return WATCH_EVERY_S
        return min(WATCH_EVERY_S, max(SWEEP_STEP_S, self.kill_at - time.monotonic()))

    def _reap(self, child: int) -> ExitStatus | None:
        """Reap every child that has died; the status of the program if it is among them."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return found
            if pid == 0:
                self.childless = False
                return found
            if pid == child:
                found = exit_status(status)

    def _take_orders(self, timeout: float | None) -> None:
        watched = [self.wakeup_read] if self.wrapper_gone else [self.wakeup_read, self.orders]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self.wakeup_read in ready:
            os.read(self.wakeup_read, 4096)
        if self.orders in ready:
            orders = os.read(self.orders, 4096)
            self.wrapper_gone = not orders
            for order in map(json.loads, orders.splitlines() or [b'{"stop": 0}']):
                if "signal" in order:
                    self._signal_program(int(order["signal"]))
                else:
                    self._stop(float(order["stop"]))

    def _signal_program(self, number: int) -> None:
        """Signal the program; it is our child and not reaped yet, so its number is its own."""
        if self.program_pid is not None:
            os.kill(self.program_pid, number)
            os.kill(self.program_pid, signal.SIGCONT)

    def _stop(self, grace_s: float) -> None:
        self.kill_at = min(time.monotonic() + grace_s, self.kill_at or float("inf"))
        if grace_s > 0:
            signal_all(descendants(os.getpid()), signal.SIGTERM)

    def _sweep(self) -> None:
        """End whatever the program left behind.

        Nothing is left when we have no child: lists of processes miss what forks while they are made.
        """
        left = descendants(os.getpid())
        signal_all(left, signal.SIGTERM)
        kill_at = time.monotonic() + (0 if self.wrapper_gone else LEFTOVER_GRACE_S)
        give_up_at = kill_at + UNKILLABLE_AFTER_S
        count = len(left)
        while self._has_children() and time.monotonic() < give_up_at:
            if time.monotonic() >= kill_at:
                count = max(count, 1)
                kill_below()
            self._take_orders(timeout=SWEEP_STEP_S)
        _tell(self.news, {"swept": count, "stuck": 0 if self.childless else len(own_children())})

    def _has_children(self) -> bool:
        self._reap(-1)
        return not self.childless


def _stream_file(path: Path, append: bool) -> FileIO:
    """Open a file that is only appended to: a program that opens /dev/stdout anew then loses nothing.

    What an earlier step has put in its place is moved away, and not written through.
    """
    if append and is_regular(path):
        return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "ab")
    move_away(path)
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644), "ab")


def _before_exec(tie: Callable[[], None]) -> None:
    """Tie the program's own process to the subreaper, and reset its signals to those of a program of a login shell."""
    restore_all()  # exec keeps what is ignored and what is blocked
    tie()


def exit_status(status: int) -> ExitStatus:
    """The wait status of waitpid(2) as a record."""
    if os.WIFSIGNALED(status):
        return ExitStatus(signal=signal_name(os.WTERMSIG(status)), core=os.WCOREDUMP(status))
    return ExitStatus(code=os.WEXITSTATUS(status))
