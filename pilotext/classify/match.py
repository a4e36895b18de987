"""One pass over a stream for all its rules and counters at once.

`Finder` decides who looks at which lines, the patterns themselves decide what is a match. A line is judged
when the lines behind it are there too, so that patterns can span several (`lines: N`) and evidence has its
surroundings; counters are read at once, because limits watch them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from pilotext.classify.ahead import Ahead
from pilotext.classify.clean import Block, Line, Splitter
from pilotext.classify.counters import Count
from pilotext.classify.crowd import DENSE, Crowd, crowd_of
from pilotext.classify.finder import Finder
from pilotext.classify.probe import Probe
from pilotext.classify.quote import AFTER, BEFORE, PLAIN, quote, shorten, touched_lines, with_neighbours
from pilotext.classify.recent import Recent
from pilotext.classify.sighting import Sighting, StreamEnd, Weight, place_in_log
from pilotext.model.verdict import Evidence
from pilotext.rules.patterns import Found
from pilotext.rules.schema import Condition, CounterText, Rule

TAIL = 40
"""Lines of a stream's end that are kept, to describe a failure that no rule knows."""

MOST_FIRST = 3
"""Matches of a rule that are quoted from the begin of a stream; the last one is quoted too."""

LONGEST_FIELD = 200


class Watch:
    """A text condition of a rule in one stream, and what was seen of it."""

    def __init__(self, stream: str, rule: Rule, condition: Condition) -> None:
        self.stream = stream
        self.rule = rule
        self.probe = Probe(condition)
        self.count = 0
        self._fields: dict[str, str] = {}
        self._first: list[Evidence] = []
        self._last: tuple[Line, str, Found] | None = None
        self._newest = 0

    @cached_property
    def crowd(self) -> Crowd | None:
        """For floods, which most logs have none of."""
        return crowd_of(self.condition)

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
        self._looks = Ahead(self._finder.present)
        self._sharing = _sharing(watch.rule for watch in watches)
        self._bytes = 0
        self._begin()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what they hold is known after the next call, or after `settle`."""
        self._bytes += len(chunk)
        for block in self._splitter.feed(chunk):
            for done, present in self._looks.ahead(block):
                self._take(done, present)

    def settle(self) -> None:
        """Know what was fed, but for the last lines, which are judged when more of the stream is there."""
        for done, present in self._looks.rest():
            self._take(done, present)

    def close(self) -> None:
        """The stream has ended; its last lines are judged with what stands behind them."""
        self.settle()
        for block in self._splitter.close():
            self._scan(block, self._finder.present(block))
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

    def _take(self, block: Block, present: Sequence[int]) -> None:
        self._scan(block, present)
        self._judge_before(block.end - self._ahead)

    def _scan(self, block: Block, present: Sequence[int]) -> None:
        self._recent.add(block)
        for index in present:
            if self._probes[index].given_up:
                continue
            if index >= len(self.watches):
                self._count(self.counts[index - len(self.watches)], block, index)
            elif not self._judge_flood(self.watches[index], block, index):
                self._judge_places(self.watches[index], block, index)

    def _judge_places(self, watch: Watch, block: Block, index: int) -> None:
        """Look at the lines that may fulfil a condition, each by itself unless they are a crowd."""
        places = [*self._finder.places(block, index)]
        if len(places) > DENSE and self._may_be_counted(watch) and watch.crowd is not None:
            times = watch.crowd.in_lines(block, places)
            if times is not None:
                self._keep_last(watch, block, reversed(places), times)
                return
        for place in places:
            number = block.number_at(place)
            for start in range(max(1, number + 1 - watch.condition.lines), number + 1):
                self._open.setdefault(start, set()).add(index)

    def _judge_flood(self, watch: Watch, block: Block, index: int) -> bool:
        """Count the matches in a whole block at once, where the one before was full of them."""
        crowd = watch.crowd if self._may_be_counted(watch) else None
        times = None if crowd is None else crowd.in_block(block)
        if times is None:
            return False
        self._keep_last(watch, block, self._finder.places_from_end(block, index), times)
        return True

    def _may_be_counted(self, watch: Watch) -> bool:
        """Whether further matches need no look each: enough are quoted, and nothing takes their lines."""
        return watch.count > MOST_FIRST and watch.rule.id not in self._sharing

    def _keep_last(self, watch: Watch, block: Block, places_from_end: Iterable[int], times: int) -> None:
        for place in places_from_end if times else ():
            line = block.line(block.number_at(place))
            if found := watch.probe.look(line.text, len(line.text)):
                watch.keep(line, line.text, found, self._recent, times)
                break

    def _count(self, count: Count, block: Block, index: int) -> None:
        if count.text.take == "last":
            any(count.look(block.text_at(place)) for place in self._finder.places_from_end(block, index))
        elif not count.settled and not count.add_flood(block):
            places = [*self._finder.places(block, index)]
            if len(places) <= DENSE or not count.add_crowd(block, places):
                for place in places:
                    count.look(block.text_at(place))

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
