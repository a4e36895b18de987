"""Reader of a job's logs while they are written: rules and counters are matched against what is appended."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path

from pilotext.classify.counters import StreamCounter, merge_counts
from pilotext.classify.matching import StreamCondition, StreamMatcher
from pilotext.classify.rule_match import Matches, place_in_log
from pilotext.model.verdict import Dropped
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import TIMEOUT_S
from pilotext.rules.schema import CounterText, Rule, RuleSet

CHUNK_BYTES = 512 * 1024
HURRIED_CHUNK_BYTES = 64 * 1024
"""Of a log that is read for a limited time: the clock is checked after each."""

OWN_STREAMS = ("stdout", "stderr")

MAX_SHARED_STREAM_BYTES = 64 << 20
"""A log larger than this when reading begins is taken for one stream only: matching the rules of both takes twice as
long, and only small tools write both streams into one file."""


@dataclass(frozen=True)
class Progress:
    """Progress of a payload: its progress counters, and the bytes of log read so far."""

    counters: Mapping[str, int | float]
    bytes: int


class LogScan:
    """Match of all rules for a job of this kind and type against its streams.

    `streams` are named `stdout`, `stderr`, or as a file of the work directory. A rule for `any` stream is for stdout
    and stderr; another file is matched by the rules that name it. If one of stdout and stderr is absent or empty,
    both were written to the other: its rules and counters apply there, and its end markers if it is absent (in logs
    of up to MAX_SHARED_STREAM_BYTES). Without `follow_links`, a stream that is a link cannot be read.
    """

    def __init__(
        self, ruleset: RuleSet, *, kind: str, job_type: str, streams: Mapping[str, Path], follow_links: bool = True
    ) -> None:
        names = sorted(streams, key=lambda name: place_in_log(name, 0))
        self._streams = [
            (
                FollowedFile(path, follow_links=follow_links),
                StreamMatcher(name, *conditions_for(name, ruleset, kind, job_type, strays=_is_small(path))),
            )
            for name, path in ((name, streams[name]) for name in names)
        ]
        self._bytes = 0
        self._matches: Matches | None = None

    def read(self, budget_bytes: int = 4 << 20) -> int:
        """Read the bytes written since the last call, at most this many, and return their number; never waits."""
        done = 0
        active = list(self._streams)
        while active:  # in turns, so that a flood in one stream does not hide progress in another
            for stream in tuple(active):
                size = self._step(*stream, budget_bytes - done)
                done += size
                if not size:
                    active.remove(stream)
        for _, matcher in self._streams:
            matcher.settle()
        return done

    def progress(self) -> Progress:
        counts = [count for count in self._counts() if count.text.progress]
        return Progress(merge_counts(counts), self._bytes)

    def finish(self, within_s: float = math.inf) -> Matches:
        """Read the rest of the streams, close them, and return all matches.

        Anything that could not be read `within_s` seconds is reported in the matches as unread.
        """
        if self._matches is None:
            deadline = time.monotonic() + within_s
            for tail, matcher in self._streams:
                left = max(1, tail.left())
                most = CHUNK_BYTES if within_s == math.inf else HURRIED_CHUNK_BYTES
                while left > 0 and time.monotonic() < deadline and (size := self._step(tail, matcher, min(left, most))):
                    left -= size
                if time.monotonic() >= deadline and left > 1:
                    tail.problem = f"the last {left} bytes were not read: the time was over"
                tail.close()
                matcher.close()
            self._matches = self._gather()
        return self._matches

    def _step(self, tail: FollowedFile, matcher: StreamMatcher, most: int) -> int:
        if most <= 0:
            return 0
        data = tail.read(min(CHUNK_BYTES, most))
        if not data and tail.begins_anew():
            matcher.start_over()
            data = tail.read(min(CHUNK_BYTES, most))
        if data:
            matcher.feed(data)
            self._bytes += len(data)
        return len(data)

    def _counts(self) -> Iterator[StreamCounter]:
        return (count for _, matcher in self._streams for count in matcher.counts)

    def _gather(self) -> Matches:
        seen = [watch for _, matcher in self._streams for watch in matcher.watches if watch.count]
        there = [(tail, matcher) for tail, matcher in self._streams if tail.existed]
        given = {matcher.name for _, matcher in there}
        used = {matcher.name for _, matcher in there if matcher.end().bytes}
        texts = [watch for watch in seen if watch.condition.absent is None]
        astray = {watch for watch in texts if _is_astray(watch.condition.stream, watch.stream, used)}
        return Matches(
            rule_matches=tuple(watch.rule_match() for watch in texts if watch not in astray),
            astray=tuple(watch.rule_match() for watch in texts if watch in astray),
            markers=frozenset(
                (watch.rule.id, watch.condition)
                for watch in seen
                if watch.condition.absent is not None
                and not _is_astray(watch.condition.stream, watch.stream, given)  # an empty stream proves nothing
            ),
            marker_offsets={
                watch.stream: max(one.offset for one in watch.rule_match().evidence)
                for watch in seen
                if watch.condition.absent is not None
            },
            counters=merge_counts(
                count
                for _, matcher in there
                for count in matcher.counts
                if not _is_astray(count.text.stream, matcher.name, used)
                and not count.probe.given_up  # of an unknown part of the log
            ),
            streams={matcher.name: matcher.end() for _, matcher in there},
            unjudged=tuple(self._unjudged()),
            unread=tuple(f"{matcher.name}: {tail.problem}" for tail, matcher in self._streams if tail.problem),
        )

    def _unjudged(self) -> Iterator[Dropped]:
        for _, matcher in self._streams:
            for watch in matcher.watches:
                if watch.probe.given_up:
                    what = f"its pattern needed more than {TIMEOUT_S:g} s on a line of {matcher.name}"
                    yield Dropped(rule=watch.rule.id, reason=f"{what} and was given up there")
            for count in matcher.counts:
                if count.probe.given_up:
                    what = f"the counter's pattern needed more than {TIMEOUT_S:g} s on a line of {matcher.name}"
                    yield Dropped(rule=f"counter {count.text.name}", reason=f"{what} and was given up there")


def _is_small(log: Path) -> bool:
    try:
        return log.stat().st_size <= MAX_SHARED_STREAM_BYTES
    except OSError:  # absent or unreadable, which its reader reports
        return True


def conditions_for(
    name: str, ruleset: RuleSet, kind: str, job_type: str, *, strays: bool
) -> tuple[list[StreamCondition], list[CounterText]]:
    """Return conditions and counters for the stream `name` of such a job; `strays` adds those of the other stream."""
    watches = [
        StreamCondition(name, rule, condition)
        for rule in ruleset.for_job(kind, job_type)
        for condition in rule.conditions
        if _is_text(condition)
        and (_is_for(condition.stream, name) or (strays and _may_stray(rule, condition.stream, name)))
    ]
    counters = [
        counter
        for counter in ruleset.counters
        if (_is_for(counter.stream, name) or (strays and {counter.stream, name} == {*OWN_STREAMS}))
        and (not counter.jobs or kind in counter.jobs or job_type in counter.jobs)
    ]
    return watches, counters


def _may_stray(rule: Rule, wanted: str, stream: str) -> bool:
    """Whether a text for one of stdout and stderr is also searched in the other; not for notes that explain nothing."""
    return {wanted, stream} == {*OWN_STREAMS} and (rule.text.action != "note" or bool(rule.text.explains))


def _is_astray(wanted: str, stream: str, used: set[str]) -> bool:
    """Whether a text was found in the wrong one of stdout and stderr, although its own was written to."""
    return wanted != stream and wanted in OWN_STREAMS and wanted in used


def _is_text(condition: Condition) -> bool:
    return condition.match is not None or condition.contains is not None or condition.absent is not None


def _is_for(wanted: str, stream: str) -> bool:
    if stream in OWN_STREAMS:
        return wanted in ("any", stream)
    return fnmatchcase(stream, wanted)


def named_files(ruleset: RuleSet, workdir: Path, *, most: int = 20) -> dict[str, Path]:
    """Return the files of a work directory that rules name as their stream, as further streams for LogScan."""
    wanted = {condition.stream for rule in ruleset.rules for condition in rule.conditions if _is_text(condition)}
    wanted |= {counter.stream for counter in ruleset.counters}
    globs = sorted(wanted - {"any", *OWN_STREAMS})
    files = [path for glob in globs for path in sorted(workdir.glob(glob.lstrip("/"))) if path.is_file()]
    return {path.relative_to(workdir).as_posix(): path for path in files[:most]}


class FollowedFile:
    """File that is read while it grows. Reading never waits and never raises.

    The file may not exist yet, and it may vanish: an open file can still be read. `problem` says why an existing file
    could not be read; without `follow_links`, a link cannot.
    """

    def __init__(self, path: Path, *, follow_links: bool = True) -> None:
        self.path = path
        self._no_link = 0 if follow_links else os.O_NOFOLLOW
        self.problem = ""
        self.existed = False
        self._file: FileIO | None = None
        self._position = 0

    def read(self, most: int) -> bytes:
        """Return at most `most` bytes that were not read yet; empty if there are none now."""
        try:
            if self._file is None:
                self._file = self._open()
            data = (self._file.read(most) or b"") if self._file else b""
        except OSError as error:
            self.problem = error.strerror or str(error)
            return b""
        self._position += len(data)
        return data

    def begins_anew(self) -> bool:
        """Whether the file was truncated or replaced; `read` then continues at the start of the new content."""
        here, there = self._open_file(), self._named_file()
        if here is None or there is None:  # not there yet, or only its name is gone
            return False
        if os.path.samestat(here, there) and here.st_size >= self._position:
            return False
        self.close()
        self._position = 0
        return True

    def left(self) -> int:
        """Return an upper bound of the bytes that can be read now, so that a growing file is not read for ever."""
        here, there = self._open_file(), self._named_file()
        return (here.st_size - self._position if here else 0) + (there.st_size if there else 0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO | None:
        """Open the file, if it exists and is regular: a pipe would block, a directory cannot be read."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | self._no_link)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            self.problem = "not a regular file"
            return None
        self.existed = True
        return FileIO(handle, "rb")

    def _open_file(self) -> os.stat_result | None:
        return self._stat(self._file.fileno()) if self._file else None

    def _named_file(self) -> os.stat_result | None:
        return self._stat(self.path)

    def _stat(self, what: Path | int) -> os.stat_result | None:
        try:
            follow = isinstance(what, int) or not self._no_link
            return os.stat(what, follow_symlinks=follow)  # noqa: PTH116 - of an open file, too
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = error.strerror or str(error)
            return None
