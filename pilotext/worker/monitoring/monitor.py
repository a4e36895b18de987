"""Monitor of a running payload: samples of what it uses, thinned, and the limits of its job."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotext import directory_tree
from pilotext.model.job import Limits
from pilotext.model.report import Series, Usage
from pilotext.model.verdict import Finding
from pilotext.worker.monitoring.control_group import NO_GROUP, ControlGroup, OomWatch
from pilotext.worker.monitoring.disk_usage import DiskUsage, SharedMemory
from pilotext.worker.monitoring.process_use import ProcessUse, share_of, use_of, uses_below

MAX_SAMPLES = 1000


class SeriesBuilder:
    """Takes samples one by one; when there are too many, of two neighbours the one with more memory stays."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._every = 1
        self._waiting: dict[str, Any] | None = None
        self._waited = 0
        self._memory_sum = 0.0
        self._seen = 0

    @property
    def average_memory_mb(self) -> float:
        return round(self._memory_sum / self._seen, 1) if self._seen else 0.0

    def add(self, **row: float) -> None:
        """Add one sample; the fields are the columns of Series."""
        self._seen += 1
        self._memory_sum += row["memory_mb"]
        self._waiting = row if self._waiting is None else _richer(self._waiting, row)
        self._waited += 1
        if self._waited == self._every:
            self._rows.append(self._waiting)
            self._waiting, self._waited = None, 0
        if len(self._rows) == MAX_SAMPLES:
            self._rows = [_richer(*pair) for pair in zip(self._rows[::2], self._rows[1::2], strict=True)]
            self._every *= 2

    def series(self) -> Series:
        rows = [*self._rows, *filter(None, [self._waiting])]
        columns: dict[str, Any] = {name: tuple(_short(row[name]) for row in rows) for name in Series.__struct_fields__}
        return Series(**columns)


def _richer(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one if one["memory_mb"] > other["memory_mb"] else other


def _short(number: float) -> float:
    return round(number, 2) if isinstance(number, float) else number


MB = 1_000_000
DISK_EVERY_S = 10.0
"""A walk over the work directory costs more than a look at the processes, so it is done more rarely."""

SHARE_EVERY_S = 60.0
"""The kernel walks the memory of a process to tell its proportional share."""

GROUP_EVERY_S = 1.0

SHARE_EVERY_OVER_LIMIT_S = 1.0


@dataclass(frozen=True)
class Sample:
    """One look at the payload: seconds since its start, CPU seconds, bytes of memory and so on."""

    at_s: float
    cpu_s: float
    memory: int
    processes: int
    read: int
    written: int
    disk: int
    free: int
    largest_output: tuple[int, str]
    output_bytes: int
    """Bytes that its streams have got so far."""
    progress: Mapping[str, int | float]
    """Counters of its log that show progress."""


class Monitor:
    """Takes samples and says which limit, if any, the payload has passed.

    `wall_s` is what is left for the payload of the job's time; `outputs` are the files whose size is limited.
    """

    def __init__(
        self,
        limits: Limits,
        directory: Path,
        subreaper_pid: int,
        *,
        wall_s: float | None = None,
        outputs: Sequence[Path] = (),
        group: ControlGroup = NO_GROUP,
    ) -> None:
        self.limits = limits
        self.directory = directory
        self.subreaper_pid = subreaper_pid
        self.wall_s = wall_s
        self.outputs = outputs
        self.usage = Usage()
        self.started = time.monotonic()
        self._oom = OomWatch(os.getpid(), group=group)
        self._disk = DiskUsage(directory, DISK_EVERY_S, lambda: [use.pid for use in uses_below(subreaper_pid)])
        self._share = _CachedShare()
        self._shared = SharedMemory()
        self._group = group
        self._group_next_s = 0.0
        self._group_cpu_s, self._group_files = 0.0, 0
        self._series = SeriesBuilder()
        self._last_output = _LastChange(0)
        self._last_progress = _LastChange({})

    def sample(self, output_bytes: int, progress: Mapping[str, int | float]) -> Finding | None:
        """Look once; the finding names the limit that was passed, with value and time."""
        at_s = time.monotonic() - self.started
        uses = uses_below(self.subreaper_pid)
        self._ask_group(at_s)
        # What has ended stands with the parent that reaped it; orphans are reaped by the subreaper.
        subreaper = use_of(self.subreaper_pid) or ProcessUse(self.subreaper_pid, 0.0, 0.0, 0, 0, 0)
        sample = Sample(
            at_s=at_s,
            cpu_s=max(self._group_cpu_s, subreaper.ended_cpu_s + sum(use.cpu_s + use.ended_cpu_s for use in uses)),
            memory=self._memory(uses, at_s),
            processes=len(uses),
            read=subreaper.read + sum(use.read for use in uses),
            written=subreaper.written + sum(use.written for use in uses),
            disk=self._disk.look(at_s),
            free=_free(self.directory),
            largest_output=max((_size(path) for path in self.outputs), default=(0, "")),
            output_bytes=output_bytes,
            progress=dict(progress),
        )
        self._record(sample)
        return self._passed(sample)

    def late(self) -> Finding | None:
        """The finding that the time of the payload is over, if it is; for an end that was not asked for here."""
        return self._late(time.monotonic() - self.started)

    def _late(self, at_s: float) -> Finding | None:
        if self.wall_s is None or at_s <= self.wall_s:
            return None
        whole = self.limits.wall_s or self.wall_s
        what = f"the payload had {at_s:.1f} s of the {whole:g} s of wall time that its job has"
        return _limit("wall", whole, at_s, what, at_s)

    def finish(self, *, cpu_s: float, left_behind: int) -> Usage:
        """The whole account, with what was heard at the payload's end."""
        wall_s = round(time.monotonic() - self.started, 3)
        return Usage(
            **{
                **{name: getattr(self.usage, name) for name in self.usage.__struct_fields__},
                "wall_s": wall_s,
                "cpu_s": round(max(cpu_s, self.usage.cpu_s, self._group.cpu_s()), 3),
                "average_memory_mb": self._series.average_memory_mb,
                "left_behind": left_behind,
                "oom_kills": self._oom.count() or 0,
                "series": self._series.series(),
            }
        )

    def _record(self, sample: Sample) -> None:
        self._last_output.see(sample.output_bytes, sample.at_s)
        self._last_progress.see(sample.progress, sample.at_s)
        memory_mb, free_mb = round(sample.memory / MB, 1), round(sample.free / MB, 1)
        read_mb, written_mb, disk_mb = (round(size / MB, 1) for size in (sample.read, sample.written, sample.disk))
        before = self.usage
        self.usage = Usage(
            wall_s=round(sample.at_s, 3),
            cpu_s=round(max(sample.cpu_s, before.cpu_s), 3),
            peak_memory_mb=max(before.peak_memory_mb, memory_mb),
            peak_pss_mb=max(before.peak_pss_mb, round(self._share.bytes / MB, 1)),
            peak_processes=max(before.peak_processes, sample.processes),
            read_mb=max(before.read_mb, read_mb),
            written_mb=max(before.written_mb, written_mb),
            peak_disk_mb=max(before.peak_disk_mb, disk_mb),
            least_free_mb=free_mb if before.least_free_mb is None else min(before.least_free_mb, free_mb),
            log_mb=round(sample.output_bytes / MB, 1),
            samples=before.samples + 1,
        )
        self._series.add(
            at_s=sample.at_s,
            cpu_s=self.usage.cpu_s,
            memory_mb=memory_mb,
            processes=sample.processes,
            read_mb=self.usage.read_mb,
            written_mb=self.usage.written_mb,
            disk_mb=disk_mb,
        )

    def _ask_group(self, at_s: float) -> None:
        if at_s >= self._group_next_s:
            self._group_next_s = at_s + GROUP_EVERY_S
            self._group_cpu_s, self._group_files = self._group.cpu_s(), self._group.shared_bytes()

    def _memory(self, uses: Sequence[ProcessUse], at_s: float) -> int:
        """Bytes of resident memory, shared pages counted once where that decides something."""
        resident = sum(use.resident for use in uses)
        files = max(self._shared.look(lambda: [use.pid for use in uses]), self._group_files)
        over = self.limits.memory_mb is not None and resident + files > self.limits.memory_mb * MB
        self._share.look(uses, at_s, SHARE_EVERY_OVER_LIMIT_S if over else SHARE_EVERY_S)
        return self._share.with_files(files) if over else max(resident, files)

    def _passed(self, sample: Sample) -> Finding | None:
        limits = self.limits
        size, name_of_largest = sample.largest_output
        measured: tuple[tuple[str, float | None, float, str], ...] = (
            ("memory", limits.memory_mb, sample.memory / MB, "MB of memory"),
            ("cpu", limits.cpu_s, sample.cpu_s, "s of CPU time"),
            ("disk", limits.disk_mb, sample.disk / MB, "MB in the work directory"),
            ("output", limits.output_mb, size / MB, f"MB in {name_of_largest}"),
            ("processes", limits.processes, sample.processes, "processes"),
            ("stall", limits.stall_s, sample.at_s - self._last_progress.at_s, "s without progress"),
            ("silence", limits.silence_s, sample.at_s - self._last_output.at_s, "s without output"),
        )
        if late := self._late(sample.at_s):
            return late
        for name, limit, value, what in measured:
            if limit is not None and value > limit:
                return _limit(name, limit, value, f"{value:.1f} {what}, the limit is {limit:g}", sample.at_s)
        if limits.disk_mb is not None and self._disk.too_deep:
            what = f"the work directory has more than {directory_tree.MAX_DEPTH} levels, so its size cannot be measured"
            return _limit("disk", limits.disk_mb, sample.disk / MB, what, sample.at_s)
        free, least = sample.free / MB, limits.min_free_mb
        if least is not None and free < least:
            what = f"{free:.1f} MB are free for the work directory, the least is {least:g}"
            return _limit("free-disk", least, free, what, sample.at_s)
        return None


def _limit(name: str, limit: float, value: float, what: str, at_s: float) -> Finding:
    return Finding(
        name=f"limit-{name}",
        text=f"{what}, after {at_s:.1f} s",
        phase="payload",
        fields={"limit": limit, "value": round(value, 1), "at_s": round(at_s, 1)},
    )


def _free(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _size(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_size, path.name
    except OSError:  # not there yet
        return 0, path.name


@dataclass
class _LastChange:
    value: object
    at_s: float = 0.0

    def see(self, value: object, at_s: float) -> None:
        if value != self.value:
            self.value, self.at_s = value, at_s


@dataclass
class _CachedShare:
    """The proportional memory (PSS) of all processes: pages that several of them share count once."""

    bytes: int = 0
    in_files: int = 0
    """The part of it that is mapped from files in memory, such as those in /dev/shm."""
    _asked_at_s: float | None = None

    def look(self, uses: Sequence[ProcessUse], at_s: float, every_s: float) -> None:
        if self._asked_at_s is None or at_s >= self._asked_at_s + every_s:
            self._asked_at_s = at_s
            shares = [share_of(use) for use in uses]
            self.bytes = sum(share for share, _ in shares)
            self.in_files = sum(mapped for _, mapped in shares)

    def with_files(self, files: int) -> int:
        """The proportional memory with so many bytes in files, of which some are mapped and in it already."""
        return self.bytes - self.in_files + max(files, self.in_files)
