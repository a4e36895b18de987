"""The keeper: a small process between the wrapper and the payload, so that nothing of the payload outlives either.

The wrapper forks it for the payload's time. It leads a session of its own and is the child subreaper of everything the
payload starts, so daemonised grandchildren stay below it. It starts the program, tells the wrapper how it ended, ends
the whole tree when asked or when the wrapper is gone (its end of the control pipe closes, however the wrapper died),
and leaves only when no process is left below it.

Messages are JSON lines. To the keeper: `{"stop": grace_s}`. From it: `{"started": pid}` or
`{"refused": errno, "file": name}`, then `{"ended": ExitStatus}`, and last `{"swept": processes left behind,
"cpu_s": CPU seconds of the whole tree}`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import resource
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import psutil

from pilotext.model import ExitStatus, signal_name
from pilotext.worker.stop import STOP_SIGNALS

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
SWEEP_STEP_S = 0.02
LEFTOVER_GRACE_S = 0.5
"""How long processes that the ended program left behind have between SIGTERM and SIGKILL."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """What to start: arguments, environment, folder, and the files that take its two streams."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    stdout: Path
    stderr: Path


def adopt_orphans(*, yes: bool) -> None:
    """Make orphans below this process its own children instead of init's, or not (prctl(2), since Linux 3.4)."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def fork_keeper(program: Program) -> tuple[int, int, int]:
    """Fork the keeper of a program.

    Returns its pid, the descriptor to write orders to, and the one to read its messages from. Call it from a process
    with one thread.
    """
    orders_read, orders_write = os.pipe()
    news_read, news_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _keep_and_exit(program, orders_read, news_write)
    os.close(orders_read)
    os.close(news_write)
    return pid, orders_write, news_read


def descendants(pid: int) -> list[psutil.Process]:
    """All living processes below `pid`, zombies not counted."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in below if _is_alive(process)]


def signal_all(processes: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to each process, and SIGCONT so that stopped ones take it."""
    for process in processes:
        for each in (number, signal.SIGCONT):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself, which is what we want
                process.send_signal(each)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# ------------------------------------------------------------------------------------------------ inside the keeper


def _keep_and_exit(program: Program, orders: int, news: int) -> NoReturn:
    try:
        _isolate(orders, news)
        _Keeper(orders, news).run(program)
    except BaseException:  # noqa: BLE001  the traceback goes to the wrapper, which reports it
        _tell(news, {"error": traceback.format_exc()})
    finally:
        os._exit(0)


def _isolate(orders: int, news: int) -> None:
    """A session of our own, no descriptor of the wrapper, no signal handler of it."""
    os.setsid()
    adopt_orphans(yes=True)
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
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


class _Keeper:
    def __init__(self, orders: int, news: int) -> None:
        self.orders = orders
        self.news = news
        self.wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_write, False)
        os.set_blocking(self.wakeup_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        self.kill_at: float | None = None
        """When the tree is to be killed (monotonic time); None while it may run."""
        self.wrapper_gone = False

    def run(self, program: Program) -> None:
        # The object must live as long as the process: when it goes, it reaps the process, and the status is lost.
        process = self._start(program)
        if process is not None:
            self._watch(process.pid)
            self._sweep()

    def _start(self, program: Program) -> subprocess.Popen[bytes] | None:
        try:
            with _stream_file(program.stdout) as stdout, _stream_file(program.stderr) as stderr:
                process = subprocess.Popen(
                    list(program.command),
                    env=dict(program.environment),
                    cwd=program.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    preexec_fn=functools.partial(_before_exec, os.getpid()),  # noqa: PLW1509  the keeper has one thread
                )
        except OSError as error:
            _tell(self.news, {"refused": error.errno, "file": str(error.filename or program.command[0])})
            return None
        _tell(self.news, {"started": process.pid})
        return process

    def _watch(self, child: int) -> None:
        """Until the program has ended: take orders, reap whatever dies, kill when the grace is over."""
        while True:
            status = self._reap(child)
            if status is not None:
                _tell(self.news, {"ended": msgspec.to_builtins(status)})
                return
            self._take_orders(timeout=self._patience())
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                signal_all(descendants(os.getpid()), signal.SIGKILL)

    def _patience(self) -> float | None:
        return None if self.kill_at is None else max(SWEEP_STEP_S, self.kill_at - time.monotonic())

    def _reap(self, child: int) -> ExitStatus | None:
        """Reap every child that has died; the status of the program if it is among them."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == child:
                found = exit_status(status)

    def _take_orders(self, timeout: float | None) -> None:
        watched = [self.wakeup_read] if self.wrapper_gone else [self.wakeup_read, self.orders]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self.wakeup_read in ready:
            os.read(self.wakeup_read, 4096)
        if self.orders in ready:
            order = os.read(self.orders, 4096)
            grace_s = float(json.loads(order.splitlines()[-1])["stop"]) if order else 0.0
            self.wrapper_gone = not order
            self._stop(grace_s)

    def _stop(self, grace_s: float) -> None:
        self.kill_at = min(time.monotonic() + grace_s, self.kill_at or float("inf"))
        if grace_s > 0:
            signal_all(descendants(os.getpid()), signal.SIGTERM)

    def _sweep(self) -> None:
        """End whatever the program left behind; a process that forks while we look is found in the next round."""
        left = descendants(os.getpid())
        count = len(left)
        signal_all(left, signal.SIGTERM)
        give_up_waiting = time.monotonic() + (0 if self.wrapper_gone else LEFTOVER_GRACE_S)
        while left := descendants(os.getpid()):
            if time.monotonic() >= give_up_waiting:
                signal_all(left, signal.SIGKILL)
            self._take_orders(timeout=SWEEP_STEP_S)
            self._reap(-1)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        _tell(self.news, {"swept": count, "cpu_s": used.ru_utime + used.ru_stime})


def _stream_file(path: Path) -> FileIO:
    """A new file that is only appended to: a program that opens /dev/stdout anew then loses nothing."""
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644), "wb")


def _before_exec(keeper_pid: int) -> None:
    """In the program's own process: it dies with the keeper, and takes signals as a program of a login shell does."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # exec keeps what is ignored, and the keeper ignores these
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper_pid:  # it was killed before the line above
        os._exit(1)


def exit_status(status: int) -> ExitStatus:
    """The wait status of waitpid(2) as a record."""
    if os.WIFSIGNALED(status):
        return ExitStatus(signal=signal_name(os.WTERMSIG(status)), core=os.WCOREDUMP(status))
    return ExitStatus(code=os.WEXITSTATUS(status))
