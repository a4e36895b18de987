"""One pass over a stream for all its rules and counters at once.

`Finder` decides who looks at which lines, the patterns themselves decide what is a match. A line is judged
when the lines behind it are there too, so that patterns can span several (`lines: N`) and evidence has its
surroundings; counters are read at once, because limits watch them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilotext.classify.clean import Block, Line, Splitter
from pilotext.classify.counters import Count
from pilotext.classify.crowd import crowd_of
from pilotext.classify.fastscan import Suspects
from pilotext.classify.finder import Finder
from pilotext.classify.probe import Probe
from pilotext.classify.quote import AFTER, BEFORE, PLAIN, quote, shorten, touched_lines, with_neighbours
from pilotext.classify.recent import Recent
from pilotext.classify.sighting import Sighting, StreamEnd, Weight, place_in_log
from pilotext.model import Evidence
from pilotext.rules.patterns import Found
from pilotext.rules.schema import Condition, CounterText, Rule

TAIL = 40
"""Lines of a stream's end that are kept, to describe a failure that no rule knows."""

MOST_FIRST = 3
"""Matches of a rule that are quoted from the begin of a stream; the last one is quoted too."""

LONGEST_FIELD = 200

CROWD = 50
"""With more candidate lines in a block than this, the later matches of a rule are only counted."""


class Watch:
    """A text condition of a rule in one stream, and what was seen of it."""

    def __init__(self, stream: str, rule: Rule, condition: Condition) -> None:
        self.stream = stream
        self.rule = rule
        self.probe = Probe(condition)
        self.crowd = crowd_of(condition)
        self.count = 0
        self._fields: dict[str, str] = {}
        self._first: list[Evidence] = []
        self._last: tuple[Line, str, Found] | None = None
        self._newest = 0

    @property
    def condition(self) -> Condition:
        return self.probe.condition

    def keep(self, line: Line, window: str, found: Found, recent: Recent, times: int = 1) -> None:
        """Take a match into account, the last of so many; the later ones are quoted without their surroundings."""
        self.count += times
        if self.count == 1:
            self._fields = {name: PLAIN.text(value)[:LONGEST_FIELD] for name, value in found.fields.items()}
        if self.count > MOST_FIRST:
            if line.number > self._newest:  # lines before a crowd are judged behind it
                self._newest, self._last = line.number, (line, window, found)
            return
        evidence = quote(self.rule.id, self.stream, line, window, found)
        self._first.append(with_neighbours(evidence, touched_lines(window, found), recent))

    def start_over(self) -> None:
        """Lines are counted from 1 again."""
        self._newest = 0

    def sighting(self) -> Sighting:
        evidence = tuple(self._first)
        if self._last is not None:
            evidence += (quote(self.rule.id, self.stream, *self._last),)
        place = place_in_log(self.stream, evidence[0].offset)
        return Sighting(self.rule, Weight.TEXT, self.count, evidence, self._fields, place)


class StreamMatcher:
    """Holds rules and counters against the bytes of one stream, as they come."""

    def __init__(self, name: str, watches: Sequence[Watch], counters: Iterable[CounterText]) -> None:
        self.name = name
        self.watches = watches
        self.counts = [Count(text) for text in counters]
        self._probes = [*(watch.probe for watch in watches), *(count.probe for count in self.counts)]
        self._finder = Finder([probe.condition for probe in self._probes])
        self._span = max((watch.condition.lines for watch in watches), default=1)
        self._ahead = self._span - 1 + AFTER
        self._suspects = Suspects()
        self._sharing = _sharing(watch.rule for watch in watches)
        self._bytes = 0
        self._begin()

    def feed(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        for block in self._splitter.feed(chunk):
            self._scan(block)
            self._judge_before(block.end - self._ahead)

    def close(self) -> None:
        """The stream has ended; its last lines are judged with what stands behind them."""
        for block in self._splitter.close():
            self._scan(block)
        self._judge_before(self._recent.end)

    def start_over(self) -> None:
        """The stream begins anew, as its file was truncated or replaced; what was seen stays seen."""
        self.close()
        for watch in self.watches:
            watch.start_over()
        self._begin()

    def end(self) -> StreamEnd:
        return StreamEnd(self._bytes, tuple(shorten(line) for line in self._recent.tail(TAIL)))

    def _begin(self) -> None:
        self._splitter = Splitter()
        self._recent = Recent(max(TAIL, BEFORE + self._span + self._ahead))
        self._open: dict[int, set[int]] = {}
        """Which watches are to look at the lines from a number on, as soon as enough of them are there."""

    def _scan(self, block: Block) -> None:
        self._recent.add(block)
        present = [*self._finder.present(block)]
        nowhere = self._certainly_nowhere(present, block)
        for index in present:
            if self._probes[index].given_up:
                continue
            if index >= len(self.watches):
                self._count(self.counts[index - len(self.watches)], block, index)
                continue
            watch = self.watches[index]
            if watch.crowd is not None and watch.crowd.ascii in nowhere:
                continue
            places = [*self._finder.places(block, index)]
            if len(places) <= CROWD or not self._judge_crowd(watch, block, places):
                self._open_for(index, watch.condition.lines, block, places)

    def _certainly_nowhere(self, present: Sequence[int], block: Block) -> set[bytes]:
        """Patterns that, without a look at any line, are known to match in none of the block."""
        watches = [self.watches[index] for index in present if index < len(self.watches)]
        patterns = [watch.crowd.ascii for watch in watches if watch.crowd is not None]
        return self._suspects.nowhere(patterns, block.cleaned) if patterns and block.cleaned.isascii() else set()

    def _open_for(self, index: int, span: int, block: Block, places: Iterable[int]) -> None:
        for place in places:
            number = block.number_at(place)
            for start in range(max(1, number + 1 - span), number + 1):
                self._open.setdefault(start, set()).add(index)

    def _count(self, count: Count, block: Block, index: int) -> None:
        if count.text.take == "last":
            any(count.look(block.text_at(place)) for place in self._finder.places_from_end(block, index))
        elif not count.settled:
            places = [*self._finder.places(block, index)]
            if len(places) <= CROWD or not count.add_crowd(block, places):
                for place in places:
                    count.look(block.text_at(place))

    def _judge_crowd(self, watch: Watch, block: Block, places: Sequence[int]) -> bool:
        """Count the matches of a block in one go, and quote the last. False if that is to be done line by line."""
        times = watch.crowd.matches(block, places) if watch.crowd else None
        if times is None or (times and (watch.count <= MOST_FIRST or watch.rule.id in self._sharing)):
            return False
        for place in reversed(places if times else ()):
            line = block.line(block.number_at(place))
            if found := watch.probe.look(line.text, len(line.text)):
                watch.keep(line, line.text, found, self._recent, times)
                break
        return True

    def _judge_before(self, end: int) -> None:
        for number in sorted(number for number in self._open if number < end):
            watches = [self.watches[index] for index in sorted(self._open.pop(number))]
            span = max(watch.condition.lines for watch in watches)
            self._judge(self._recent.lines(number, number + span), watches)

    def _judge(self, lines: Sequence[Line], watches: Iterable[Watch]) -> None:
        """Let the watches look at the lines from one on; there are as many as the longest pattern needs."""
        first = lines[0]
        seen: list[tuple[Watch, str, Found]] = []
        for watch in watches:
            window = "\n".join(line.text for line in lines[: watch.condition.lines])
            if found := watch.probe.look(window, len(first.text)):
                seen.append((watch, window, found))
        benign = _explained_here(watch.rule for watch, _, _ in seen)
        for watch, window, found in seen:
            if watch.rule.id not in benign:
                watch.keep(first, window, found, self._recent)


def _sharing(rules: Iterable[Rule]) -> set[str]:
    """Notes that take lines from rules, and the rules that they take them from: none can be counted by itself."""
    notes = [rule.text for rule in rules if rule.text.action == "note" and rule.text.explains]
    return {text.id for text in notes}.union(*(text.explains for text in notes))


def _explained_here(rules: Iterable[Rule]) -> set[str]:
    """A note takes the rules that it explains from its own line, and from no other."""
    texts = [rule.text for rule in rules]
    return {known for text in texts if text.action == "note" and text.status == "active" for known in text.explains}
