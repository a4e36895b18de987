"""One pass over a stream for all its rules and counters at once.

`LineSelector` chooses the lines on which each condition is tried; the patterns decide what is a match. A line is
evaluated when the lines after it have arrived, so that patterns can span several (`lines: N`) and evidence has its
neighbours; counters are read at once, because limits depend on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from pilotext.classify.cleaning import Block, Line, Splitter
from pilotext.classify.counters import StreamCounter
from pilotext.classify.excerpts import AFTER, BEFORE, PLAIN, RecentLines, quote, shorten, touched_lines, with_neighbours
from pilotext.classify.prefilter.flood import MIN_FLOOD_LINES, FloodCounter, flood_counter_of
from pilotext.classify.prefilter.selector import LineSelector, LookAhead
from pilotext.classify.rule_match import Precedence, RuleMatch, StreamEnd, place_in_log
from pilotext.classify.wrapping import Unwrapper
from pilotext.model.verdict import Evidence
from pilotext.rules.conditions import Condition
from pilotext.rules.literals import literal_length
from pilotext.rules.patterns import Found, TimedCondition
from pilotext.rules.schema import CounterText, Rule

TAIL_LINES = 40
"""Lines kept of the end of a stream, to describe an unclassified failure."""

MAX_FIRST_MATCHES = 3
"""Matches of a rule that are quoted from the start of a stream; the last one is quoted too."""

MAX_FIELD_CHARS = 200


class StreamCondition:
    """Text condition of a rule in one stream, with its matches so far."""

    def __init__(self, stream: str, rule: Rule, condition: Condition) -> None:
        self.stream = stream
        self.rule = rule
        self.probe = TimedCondition(condition)
        self.count = 0
        self._fields: dict[str, str] = {}
        self._first: list[Evidence] = []
        self._last: tuple[Line, str, Found] | None = None
        self._newest = 0

    @cached_property
    def flood(self) -> FloodCounter | None:
        """Bulk counter for floods, made on first use because most logs have none."""
        return flood_counter_of(self.condition)

    @property
    def condition(self) -> Condition:
        return self.probe.condition

    def anew(self) -> StreamCondition:
        """Return the same condition without its matches."""
        return StreamCondition(self.stream, self.rule, self.condition)

    def keep(self, line: Line, window: str, found: Found, recent: RecentLines, times: int = 1) -> None:
        """Record a match, the last of so many; later ones are quoted without their neighbours."""
        self.count += times
        if self.count == 1:
            self._fields = {name: PLAIN.text(value)[:MAX_FIELD_CHARS] for name, value in found.fields.items()}
        if self.count > MAX_FIRST_MATCHES:
            if line.number > self._newest:  # lines before a flood are evaluated after it
                self._newest, self._last = line.number, (line, window, found)
            return
        evidence = quote(self.rule.id, self.stream, line, window, found)
        self._first.append(with_neighbours(evidence, touched_lines(window, found), recent))

    def start_over(self) -> None:
        """Count lines from 1 again."""
        self._newest = 0

    def rule_match(self) -> RuleMatch:
        evidence = tuple(self._first)
        if self._last is not None:
            evidence += (quote(self.rule.id, self.stream, *self._last),)
        place = place_in_log(self.stream, evidence[0].offset)
        literal = literal_length(self.condition)
        return RuleMatch(self.rule, Precedence.TEXT, self.count, evidence, self._fields, place, literal)


class StreamMatcher:
    """Matcher of rules and counters against the bytes of one stream, as they arrive."""

    def __init__(self, name: str, watches: Sequence[StreamCondition], counters: Iterable[CounterText]) -> None:
        self.name = name
        self.watches = watches
        self.counts = [StreamCounter(text) for text in counters]
        self._probes = [*(watch.probe for watch in watches), *(count.probe for count in self.counts)]
        self._finder = LineSelector([probe.condition for probe in self._probes], self._matches)
        self._span = max((watch.condition.lines for watch in watches), default=1)
        self._ahead = self._span - 1 + AFTER
        self._looks = LookAhead(self._finder.candidates)
        self._sharing = _sharing(watch.rule for watch in watches)
        self._bytes = 0
        self._unwrapped: StreamMatcher | None = None
        """The same for the stream with its wrapped lines joined, if it may be wrapped."""
        self._begin()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; their matches are known after the next call, or after `settle`."""
        self._bytes += len(chunk)
        for block in self._splitter.feed(chunk):
            for done, present in self._looks.ahead(block):
                self._take(done, present)

    def settle(self) -> None:
        """Process everything that was fed, except the last lines, which are evaluated when more has arrived."""
        for done, present in self._looks.rest():
            self._take(done, present)

    def close(self) -> None:
        """End the stream: evaluate its last lines."""
        self.settle()
        for block in self._splitter.close():
            self._scan(block, self._finder.candidates(block))
            self._unwrap(self._unwrapper.feed(block))
        self._evaluate_before(self._recent.end)
        self._unwrap(self._unwrapper.close())
        self._take_unwrapped()

    def start_over(self) -> None:
        """Restart the stream, as its file was truncated or replaced; earlier matches are kept."""
        self.close()
        for watch in self.watches:
            watch.start_over()
        self._begin()

    def end(self) -> StreamEnd:
        return StreamEnd(self._bytes, tuple(shorten(line) for line in self._recent.tail(TAIL_LINES)))

    def _matches(self, index: int) -> int:
        behind = index - len(self.watches)
        return self.watches[index].count if behind < 0 else self.counts[behind].matches

    def _begin(self) -> None:
        self._splitter = Splitter()
        self._unwrapper = Unwrapper()
        self._recent = RecentLines(max(TAIL_LINES, BEFORE + self._span + self._ahead))
        self._open: dict[int, set[int]] = {}
        """Conditions to try from a line number on, as soon as enough lines have arrived."""

    def _take(self, block: Block, present: Sequence[int]) -> None:
        self._scan(block, present)
        self._evaluate_before(block.end - self._ahead)
        self._unwrap(self._unwrapper.feed(block))

    def _unwrap(self, block: Block | None) -> None:
        if block is None:
            return
        if self._unwrapped is None:
            self._unwrapped = StreamMatcher(self.name, [watch.anew() for watch in self.watches], ())
            self._unwrapped._unwrapper.may_be_wrapped = False
        self._unwrapped._take(block, self._unwrapped._finder.candidates(block))

    def _take_unwrapped(self) -> None:
        """Take those matches in joined lines that the lines as they are do not have."""
        if self._unwrapped is not None and self._unwrapper.may_be_wrapped:
            self._unwrapped._evaluate_before(self._unwrapped._recent.end)
            pairs = zip(self.watches, self._unwrapped.watches, strict=True)
            self.watches = [joined if joined.count and not plain.count else plain for plain, joined in pairs]
        self._unwrapped = None

    def _scan(self, block: Block, present: Sequence[int]) -> None:
        self._recent.add(block)
        for index in present:
            if self._probes[index].given_up:
                continue
            if index >= len(self.watches):
                self._count(self.counts[index - len(self.watches)], block, index)
            elif not self._count_flood(self.watches[index], block, index):
                self._evaluate_places(self.watches[index], block, index)

    def _evaluate_places(self, watch: StreamCondition, block: Block, index: int) -> None:
        """Try the lines that may fulfil a condition, one by one unless they are a flood."""
        places = [*self._finder.places(block, index)]
        if len(places) > MIN_FLOOD_LINES and watch.flood is not None and not block.is_prefixed:
            times = watch.flood.in_lines(block, places) if self._may_be_counted(watch, block) else None
            if times is not None:
                self._keep_last(watch, block, reversed(places), times)
                return
            places = watch.flood.matching(block, places)
        for place in places:
            number = block.number_at(place)
            for start in range(max(1, number + 1 - watch.condition.lines), number + 1):
                self._open.setdefault(start, set()).add(index)

    def _count_flood(self, watch: StreamCondition, block: Block, index: int) -> bool:
        """Count the matches in a whole block at once, if the previous block was full of them."""
        flood = watch.flood if self._may_be_counted(watch, block) else None
        times = None if flood is None else flood.in_block(block)
        if times is None:
            return False
        self._keep_last(watch, block, self._finder.places_from_end(block, index), times)
        return True

    def _may_be_counted(self, watch: StreamCondition, block: Block) -> bool:
        """Whether further matches may be counted in bulk: enough are quoted, and their lines have no note or prefix."""
        return watch.count > MAX_FIRST_MATCHES and watch.rule.id not in self._sharing and not block.is_prefixed

    def _keep_last(self, watch: StreamCondition, block: Block, places_from_end: Iterable[int], times: int) -> None:
        for place in places_from_end if times else ():
            line = block.line(block.number_at(place))
            if found := watch.probe.look(line.text, len(line.text)):
                watch.keep(line, line.text, found, self._recent, times)
                break

    def _count(self, count: StreamCounter, block: Block, index: int) -> None:
        if count.text.take == "last":
            any(count.look(block.text_at(place)) for place in self._finder.places_from_end(block, index))
        elif not count.settled and (block.is_prefixed or not count.add_flood_block(block)):
            places = [*self._finder.places(block, index)]
            bulk = len(places) > MIN_FLOOD_LINES and not block.is_prefixed
            if not bulk or not count.add_flood_lines(block, places):
                for place in places:
                    count.look(block.text_at(place))

    def _evaluate_before(self, end: int) -> None:
        for number in sorted(number for number in self._open if number < end):
            watches = [self.watches[index] for index in sorted(self._open.pop(number))]
            span = max(watch.condition.lines for watch in watches)
            self._evaluate(self._recent.lines(number, number + span), watches)

    def _evaluate(self, lines: Sequence[Line], watches: Iterable[StreamCondition]) -> None:
        """Try the conditions on the first of these lines; there are as many as the longest pattern needs."""
        first = lines[0]
        seen: list[tuple[StreamCondition, str, Found]] = []
        for watch in watches:
            window = "\n".join(line.text for line in lines[: watch.condition.lines])
            if found := watch.probe.look(window, len(first.text)):
                seen.append((watch, window, found))
        benign = _explained_here(watch.rule for watch, _, _ in seen)
        for watch, window, found in seen:
            if watch.rule.id not in benign:
                watch.keep(first, window, found, self._recent)


def _sharing(rules: Iterable[Rule]) -> set[str]:
    """Return notes that claim lines of other rules, and those rules: neither can be counted in bulk."""
    notes = [rule.text for rule in rules if rule.text.action == "note" and rule.text.explains]
    return {text.id for text in notes}.union(*(text.explains for text in notes))


def _explained_here(rules: Iterable[Rule]) -> set[str]:
    """Return the rules that a note among these explains: on its own line, and on no other, they do not match."""
    texts = [rule.text for rule in rules]
    return {known for text in texts if text.action == "note" and text.status == "active" for known in text.explains}
