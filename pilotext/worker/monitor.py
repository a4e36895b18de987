"""What the payload uses, sampled over its whole process tree, and the limits it may not pass."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pilotext.model import Finding, Limits, Usage
from pilotext.worker.keeper import descendants

MB = 1_000_000
DISK_EVERY_S = 10.0
"""A walk over the work directory costs more than a look at the processes, so it is done more rarely."""


@dataclass(frozen=True)
class Sample:
    """One look at the payload: seconds since its start, CPU seconds, bytes of memory and disk, number of processes."""

    at_s: float
    cpu_s: float
    memory: int
    processes: int
    disk: int
    output_bytes: int
    """Bytes that its streams have got so far."""
    progress: Mapping[str, int | float]
    """Counters of its log that show progress."""


class Monitor:
    """Takes samples and says which limit, if any, the payload has passed."""

    def __init__(self, limits: Limits, directory: Path, keeper_pid: int) -> None:
        self.limits = limits
        self.keeper = psutil.Process(keeper_pid)
        self.usage = Usage()
        self.started = time.monotonic()
        self._disk = _CachedDisk(directory)
        self._last_output = _LastChange(0)
        self._last_progress = _LastChange({})

    def sample(self, output_bytes: int, progress: Mapping[str, int | float]) -> Finding | None:
        """Look once; the finding names the limit that was passed, with value and time."""
        at_s = time.monotonic() - self.started
        processes = descendants(self.keeper.pid)
        memory = self._memory(processes)
        sample = Sample(
            at_s=at_s,
            cpu_s=self._cpu(processes),
            memory=memory,
            processes=len(processes),
            disk=self._disk.bytes(at_s) if self.limits.disk_mb is not None else 0,
            output_bytes=output_bytes,
            progress=dict(progress),
        )
        self._record(sample)
        return self._passed(sample)

    def _record(self, sample: Sample) -> None:
        self._last_output.see(sample.output_bytes, sample.at_s)
        self._last_progress.see(sample.progress, sample.at_s)
        self.usage = Usage(
            wall_s=round(sample.at_s, 3),
            cpu_s=round(sample.cpu_s, 3),
            peak_memory_mb=max(self.usage.peak_memory_mb, round(sample.memory / MB, 1)),
            peak_processes=max(self.usage.peak_processes, sample.processes),
            samples=self.usage.samples + 1,
        )

    def _memory(self, processes: Sequence[psutil.Process]) -> int:
        """Bytes of resident memory, shared pages counted once where that decides something.

        The proportional share (PSS) is dear to get, so it is asked for only when the plain sum is over the limit.
        """
        resident = sum(_ask(process, lambda p: p.memory_info().rss) for process in processes)
        if self.limits.memory_mb is None or resident <= self.limits.memory_mb * MB:
            return int(resident)
        return int(sum(_ask(process, _proportional_memory) for process in processes))

    def _cpu(self, processes: Sequence[psutil.Process]) -> float:
        """CPU seconds of the whole tree, also of the processes that have ended.

        The time of an ended process stands with the parent that reaped it; orphans are reaped by the keeper.
        """
        living = sum(_ask(process, lambda p: sum(p.cpu_times()[:4])) for process in processes)
        return living + _ask(self.keeper, lambda p: sum(p.cpu_times()[2:4]))

    def _passed(self, sample: Sample) -> Finding | None:
        limits = self.limits
        measured = (
            ("memory", limits.memory_mb, sample.memory / MB, "MB of memory"),
            ("wall", limits.wall_s, sample.at_s, "s of wall time"),
            ("cpu", limits.cpu_s, sample.cpu_s, "s of CPU time"),
            ("disk", limits.disk_mb, sample.disk / MB, "MB in the work directory"),
            ("stall", limits.stall_s, sample.at_s - self._last_progress.at_s, "s without progress"),
            ("silence", limits.silence_s, sample.at_s - self._last_output.at_s, "s without output"),
        )
        for name, limit, value, what in measured:
            if limit is not None and value > limit:
                return Finding(
                    name=f"limit-{name}",
                    text=f"{value:.1f} {what}, the limit is {limit:g}, after {sample.at_s:.1f} s",
                    phase="payload",
                    fields={"limit": limit, "value": round(value, 1), "at_s": round(sample.at_s, 1)},
                )
        return None


def _ask(process: psutil.Process, question: Callable[[psutil.Process], float]) -> float:
    """The answer, or 0 from a process that has ended meanwhile."""
    try:
        return question(process)
    except psutil.NoSuchProcess:
        return 0.0


def _proportional_memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.AccessDenied:  # a program that changed its user: what it shares is not told
        return float(process.memory_info().rss)


@dataclass
class _LastChange:
    value: object
    at_s: float = 0.0

    def see(self, value: object, at_s: float) -> None:
        if value != self.value:
            self.value, self.at_s = value, at_s


@dataclass
class _CachedDisk:
    directory: Path
    _bytes: int = 0
    _next_at_s: float = field(default=0.0)

    def bytes(self, at_s: float) -> int:
        """Bytes on disk below the directory, measured anew every DISK_EVERY_S."""
        if at_s >= self._next_at_s:
            self._next_at_s = at_s + DISK_EVERY_S
            self._bytes = disk_usage(self.directory)
        return self._bytes


def disk_usage(directory: Path) -> int:
    """Bytes that the files below a directory take on disk (blocks, so holes cost nothing)."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # files come and go, and some folders are closed to us
                total += Path(folder, name).lstat().st_blocks * 512
    return total
