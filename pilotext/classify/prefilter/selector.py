"""Choice of the lines of a block that each condition is tried on: those with a literal that its pattern requires."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from heapq import merge

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter.hyperscan import BlockDatabase, SearchTerm, is_fast_for
from pilotext.classify.prefilter.line_patterns import pattern_for_ascii
from pilotext.rules.conditions import Condition
from pilotext.rules.literals import min_rarity
from pilotext.rules.search_texts import search_texts

FREQUENT_BLOCKS = 4
"""Blocks with the literals of a condition after which its pattern is searched instead."""

EVERYWHERE = 0.75
"""Part of the blocks that have a match of a condition, from which on its pattern would exclude nothing."""

DENSE = 1 / 500
"""Texts of such a condition in a byte, from which on it is not searched: each of them costs, and so does to compile."""

PATTERNS_AFTER_BYTES = 2 << 20
"""Bytes of a stream after which patterns are compiled; those of all rules take seconds, so only frequent ones are."""

MAX_WAITING_BLOCKS = 2
"""Blocks searched ahead; each takes memory, and more would not be faster."""

POOR_TEXT = 3.0
"""Rarity of a text (`literals.min_rarity`) that is searched with its pattern from the beginning: numbers."""


@dataclass(frozen=True)
class _Narrow:
    """Database that chooses fewer lines than the literals: with the patterns of conditions whose literals are frequent.

    Those that are in nearly every block are not searched at all.
    """

    patterns: frozenset[int]
    everywhere: frozenset[int]
    database: BlockDatabase


class LineSelector:
    """Selector of lines for all conditions of a stream together; it may choose too many, never too few.

    `matches` says how often a condition has matched so far.
    """

    def __init__(self, conditions: Sequence[Condition], matches: Callable[[int], int] = lambda _: 0) -> None:
        self._every: list[int] = []
        self._wanted = [SearchTerm(index) for index, _ in enumerate(conditions)]
        for index, condition in enumerate(conditions):
            needed = search_texts(condition)
            if needed is None:
                self._every.append(index)
                continue
            texts = tuple(text.encode() for text in sorted(needed.texts))
            self._wanted[index] = SearchTerm(index, None, texts, needed.folded)
        self._conditions = conditions
        self._matches = matches
        self._terms = [term for term in self._wanted if term.texts]
        self._texts = BlockDatabase(self._terms)
        poor = [term.number for term in self._terms if min_rarity(map(bytes.decode, term.texts)) < POOR_TEXT]
        self._narrow = self._searched_by_patterns(frozenset(poor))
        self._blocks = 0
        self._blocks_with: Counter[int] = Counter()
        """Condition → blocks, of those since the last compilation, that had its literals or pattern."""
        self._chosen: Counter[int] = Counter()
        """The same of all blocks."""
        self._looked_at = 0
        self._compile_at = PATTERNS_AFTER_BYTES

    def candidates(self, block: Block) -> list[int]:
        """Return the conditions that must be tried on some line of the block, in order."""
        data = block.cleaned
        if not is_fast_for(data):
            return sorted([*self._every, *self._looked_up(data)])
        self._narrow_down(data)
        if block.is_ascii and not block.is_prefixed:  # the patterns begin where the lines do
            found = {*self._narrow.everywhere, *self._narrow.database.candidates(data)}
        else:
            found = {*self._texts.candidates(data)}
        self._looked_at += len(data)
        self._blocks += 1
        self._blocks_with.update(found)
        self._chosen.update(found)
        return sorted([*self._every, *found])

    def _narrow_down(self, data: bytes) -> None:
        """From time to time, compile anew with what is frequent by now.

        To go on meanwhile, in another thread, took longer: a block with frequent literals costs tens of milliseconds.
        """
        if self._looked_at < self._compile_at or self._blocks < FREQUENT_BLOCKS:
            return
        self._compile_at = 2 * self._looked_at
        before = self._narrow
        frequent = {number for number, blocks in self._blocks_with.items() if blocks >= FREQUENT_BLOCKS}
        matching = {number for number in frequent if self._is_matching(number)}
        most = {number for number in frequent if self._blocks_with[number] >= EVERYWHERE * self._blocks}
        everywhere = before.everywhere | {
            number for number in most & (matching | before.patterns) if self._is_dense(number, data)
        }
        patterns = before.patterns | frequent - matching - everywhere
        if everywhere != before.everywhere or patterns != before.patterns:
            self._narrow = self._searched_by_patterns(patterns, everywhere)
            self._narrow.database.compile()
            self._blocks = 0
            self._blocks_with.clear()

    def _is_matching(self, number: int) -> bool:
        """Whether a condition matched in most blocks that were chosen for it; the last ones are not tried yet."""
        tried = self._chosen[number] - MAX_WAITING_BLOCKS - 1
        return self._matches(number) >= max(1, EVERYWHERE * tried)

    def _is_dense(self, number: int, data: bytes) -> bool:
        texts = self._wanted[number]
        searched = data.lower() if texts.folded else data
        return sum(map(searched.count, texts.texts)) > DENSE * len(data)

    def _searched_by_patterns(self, patterns: frozenset[int], everywhere: frozenset[int] = frozenset()) -> _Narrow:
        terms = [term for term in self._terms if term.number not in everywhere]
        terms = [self._pattern(term) if term.number in patterns else term for term in terms]
        return _Narrow(patterns, everywhere, BlockDatabase(terms))

    def _pattern(self, term: SearchTerm) -> SearchTerm:
        return SearchTerm(term.number, pattern_for_ascii(self._conditions[term.number]), term.texts, term.folded)

    def _looked_up(self, data: bytes) -> Iterator[int]:
        lower = data.lower()
        for look in self._wanted:
            if any(text in (lower if look.folded else data) for text in look.texts):
                yield look.number

    def places(self, block: Block, index: int) -> Iterable[int]:
        """Yield a place in every line on which this condition must be tried, in order."""
        look = self._wanted[index]
        if not look.texts:
            return begins(block.cleaned)
        data = block.cleaned.lower() if look.folded else block.cleaned
        found = [_places(data, text) for text in look.texts]
        return found[0] if len(found) == 1 else _once_a_line(data, merge(*found))

    def places_from_end(self, block: Block, index: int) -> Iterable[int]:
        """Yield the same places, last one first."""
        look = self._wanted[index]
        if len(look.texts) != 1 or look.folded:
            return reversed([*self.places(block, index)])
        return _places_from_end(block.cleaned, look.texts[0])


def begins(data: bytes) -> Iterator[int]:
    """Yield the starts of the lines of a block."""
    at = 0
    while True:
        yield at
        at = data.find(b"\n", at) + 1
        if at in (0, len(data)):
            return


def _places(data: bytes, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        line_end = data.find(b"\n", at)
        at = data.find(text, line_end + 1) if line_end >= 0 else -1


def _once_a_line(data: bytes, places: Iterable[int]) -> Iterator[int]:
    end = -1
    for place in places:
        if place > end:
            yield place
            end = data.find(b"\n", place)
            if end < 0:
                return


def _places_from_end(data: bytes, text: bytes) -> Iterator[int]:
    at = data.rfind(text)
    while at >= 0:
        yield at
        line = data.rfind(b"\n", 0, at) + 1
        at = data.rfind(text, 0, line)


Seen = Sequence[int]


class LookAhead:
    """Searches blocks in a second thread while earlier ones are evaluated, and returns them in order.

    Hyperscan releases the interpreter lock, so both run at the same time.
    """

    def __init__(self, look: Callable[[Block], Seen]) -> None:
        self._look = look
        self._waiting: deque[tuple[Block, Future[Seen]]] = deque()

    def ahead(self, block: Block) -> Iterator[tuple[Block, Seen]]:
        """Start the search of a block; yield those that are due."""
        if not is_fast_for(block.cleaned):
            yield from self.rest()
            yield block, self._look(block)
            return
        self._waiting.append((block, _second_thread().submit(self._look, block)))
        while len(self._waiting) > MAX_WAITING_BLOCKS:
            yield self._next()

    def rest(self) -> Iterator[tuple[Block, Seen]]:
        while self._waiting:
            yield self._next()

    def _next(self) -> tuple[Block, Seen]:
        block, seen = self._waiting.popleft()
        return block, seen.result()


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pilotext-look")
