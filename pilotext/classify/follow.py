"""Reads the logs of a job while they are written, and keeps what matters of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pilotext.classify.counters import Count, together
from pilotext.classify.match import StreamMatcher, Watch
from pilotext.classify.probe import TIMEOUT_S
from pilotext.classify.sighting import Matches, place_in_log
from pilotext.classify.tailing import Tail
from pilotext.model.verdict import Dropped
from pilotext.rules.schema import Condition, CounterText, Rule, RuleSet

CHUNK = 512 * 1024
OWN_STREAMS = ("stdout", "stderr")

LARGEST_FOR_BOTH = 64 << 20
"""A log that is larger when its reading begins holds one stream: looking for the other's texts, too, takes twice as
long, and to send both into one file is a habit of small tools."""


@dataclass(frozen=True)
class Progress:
    """How far a payload is: its progress counters, and the bytes of log that were read."""

    counters: Mapping[str, int | float]
    bytes: int


class LogScan:
    """All rules for a job of this kind and type, held against its streams.

    `streams` are named `stdout`, `stderr`, or as a file of the work directory. A rule for `any` stream is for stdout
    and stderr; another file is judged by the rules that name it. Where one of stdout and stderr is not there or stays
    empty, both were written to the other: its rules and counters hold there, and its end markers if it is not there
    (in logs of up to LARGEST_FOR_BOTH bytes). Without `follow_links`, a stream that is a link cannot be read.
    """

    def __init__(
        self, ruleset: RuleSet, *, kind: str, job_type: str, streams: Mapping[str, Path], follow_links: bool = True
    ) -> None:
        names = sorted(streams, key=lambda name: place_in_log(name, 0))
        self._streams = [
            (
                Tail(path, follow_links=follow_links),
                StreamMatcher(name, *meant_for(name, ruleset, kind, job_type, strays=_is_small(path))),
            )
            for name, path in ((name, streams[name]) for name in names)
        ]
        self._bytes = 0
        self._matches: Matches | None = None

    def read(self, budget_bytes: int = 4 << 20) -> int:
        """Read what was written since, at most this much. Returns the number of bytes; never waits for more."""
        done = 0
        active = list(self._streams)
        while active:  # in turns, so that a flood in one stream does not hide the progress in another
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
        return Progress(together(counts), self._bytes)

    def finish(self, within_s: float = math.inf) -> Matches:
        """Read what is left in the streams now, and tell what all of them hold. The streams are closed.

        What could not be read `within_s` seconds is told in the matches as unread.
        """
        if self._matches is None:
            deadline = time.monotonic() + within_s
            for tail, matcher in self._streams:
                left = max(1, tail.left())
                while left > 0 and time.monotonic() < deadline and (size := self._step(tail, matcher, left)):
                    left -= size
                if time.monotonic() >= deadline and left > 1:
                    tail.problem = f"the last {left} bytes were not read, there was no time"
                tail.close()
                matcher.close()
            self._matches = self._gather()
        return self._matches

    def _step(self, tail: Tail, matcher: StreamMatcher, most: int) -> int:
        if most <= 0:
            return 0
        data = tail.read(min(CHUNK, most))
        if not data and tail.begins_anew():
            matcher.start_over()
            data = tail.read(min(CHUNK, most))
        if data:
            matcher.feed(data)
            self._bytes += len(data)
        return len(data)

    def _counts(self) -> Iterator[Count]:
        return (count for _, matcher in self._streams for count in matcher.counts)

    def _gather(self) -> Matches:
        seen = [watch for _, matcher in self._streams for watch in matcher.watches if watch.count]
        there = [(tail, matcher) for tail, matcher in self._streams if tail.existed]
        given = {matcher.name for _, matcher in there}
        used = {matcher.name for _, matcher in there if matcher.end().bytes}
        texts = [watch for watch in seen if watch.condition.absent is None]
        astray = {watch for watch in texts if _is_astray(watch.condition.stream, watch.stream, used)}
        return Matches(
            sightings=tuple(watch.sighting() for watch in texts if watch not in astray),
            astray=tuple(watch.sighting() for watch in texts if watch in astray),
            markers=frozenset(
                (watch.rule.id, watch.condition)
                for watch in seen
                if watch.condition.absent is not None
                and not _is_astray(watch.condition.stream, watch.stream, given)  # an empty stream proves nothing
            ),
            counters=together(
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
        return log.stat().st_size <= LARGEST_FOR_BOTH
    except OSError:  # it is not there yet, or cannot be read, which whoever reads it tells
        return True


def meant_for(
    name: str, ruleset: RuleSet, kind: str, job_type: str, *, strays: bool
) -> tuple[list[Watch], list[CounterText]]:
    """What is to be looked for in the stream `name` of such a job; with `strays` what belongs to the other, too."""
    watches = [
        Watch(name, rule, condition)
        for rule in ruleset.rules
        if rule.text.status != "retired" and rule.applies_to(kind, job_type)
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
    """Whether a text for one of stdout and stderr is looked for in the other: not a note that explains nothing."""
    return {wanted, stream} == {*OWN_STREAMS} and (rule.text.action != "note" or bool(rule.text.explains))


def _is_astray(wanted: str, stream: str, used: set[str]) -> bool:
    """Whether a text stands in the other one of stdout and stderr, although its own was written to."""
    return wanted != stream and wanted in OWN_STREAMS and wanted in used


def _is_text(condition: Condition) -> bool:
    return condition.match is not None or condition.contains is not None or condition.absent is not None


def _is_for(wanted: str, stream: str) -> bool:
    if stream in OWN_STREAMS:
        return wanted in ("any", stream)
    return fnmatchcase(stream, wanted)


def named_files(ruleset: RuleSet, workdir: Path, *, most: int = 20) -> dict[str, Path]:
    """The files of a work directory that rules name as their stream, as further streams for LogScan."""
    wanted = {condition.stream for rule in ruleset.rules for condition in rule.conditions if _is_text(condition)}
    wanted |= {counter.stream for counter in ruleset.counters}
    globs = sorted(wanted - {"any", *OWN_STREAMS})
    files = [path for glob in globs for path in sorted(workdir.glob(glob.lstrip("/"))) if path.is_file()]
    return {path.relative_to(workdir).as_posix(): path for path in files[:most]}
