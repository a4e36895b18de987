"""Choice of the lines of a block that each condition is tried on: those with a literal that its pattern requires."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from heapq import merge

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter.hyperscan import BlockDatabase, SearchTerm, is_fast_for
from pilotext.classify.prefilter.line_patterns import pattern_for_ascii
from pilotext.rules.conditions import Condition
from pilotext.rules.literals import required_literals

PATTERNS_AFTER_BYTES = 8 << 20
"""Hyperscan takes a second to compile the patterns of all rules; for shorter logs their literals suffice."""


class LineSelector:
    """Selector of lines for all conditions of a stream together; it may choose too many, never too few."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._every: list[int] = []
        self._wanted = [SearchTerm(index) for index, _ in enumerate(conditions)]
        for index, condition in enumerate(conditions):
            needed = required_literals(condition)
            if needed is None:
                self._every.append(index)
                continue
            texts = tuple(text.encode() for text in sorted(needed.texts))
            self._wanted[index] = SearchTerm(index, None, texts, needed.folded)
        self._conditions = conditions
        self._texts = BlockDatabase([look for look in self._wanted if look.texts])
        self._patterns: Future[BlockDatabase] | None = None
        """Database that chooses fewer lines than the literals, once it is compiled."""
        self._looked_at = 0

    def candidates(self, block: Block) -> list[int]:
        """Return the conditions that must be tried on some line of the block, in order."""
        data = block.cleaned
        if not is_fast_for(data):
            return sorted([*self._every, *self._looked_up(data)])
        return sorted([*self._every, *self._database(block).candidates(data)])

    def _database(self, block: Block) -> BlockDatabase:
        """Return the database of literals until that of the patterns, compiled in another thread, is ready."""
        self._looked_at += len(block.cleaned)
        if self._patterns is None and self._looked_at > PATTERNS_AFTER_BYTES:
            self._patterns = _compiler().submit(self._compiled)
        # The patterns begin where the lines do.
        if not block.is_ascii or self._patterns is None or not self._patterns.done() or block.is_prefixed:
            return self._texts
        return self._patterns.result()

    def _compiled(self) -> BlockDatabase:
        looks = [look for look in self._wanted if look.texts]
        patterns = BlockDatabase(
            [
                SearchTerm(one.number, pattern_for_ascii(self._conditions[one.number]), one.texts, one.folded)
                for one in looks
            ]
        )
        patterns.compile()
        return patterns

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
        return found[0] if len(found) == 1 else merge(*found)

    def places_from_end(self, block: Block, index: int) -> Iterable[int]:
        """Yield the same places, last one first."""
        look = self._wanted[index]
        if len(look.texts) != 1 or look.folded:
            return reversed([*self.places(block, index)])
        return _places_from_end(block.cleaned, look.texts[0])


@cache
def _compiler() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pilotext-compile")


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


def _places_from_end(data: bytes, text: bytes) -> Iterator[int]:
    at = data.rfind(text)
    while at >= 0:
        yield at
        line = data.rfind(b"\n", 0, at) + 1
        at = data.rfind(text, 0, line)


Seen = Sequence[int]

MAX_WAITING_BLOCKS = 2
"""Blocks searched ahead; each takes memory, and more would not be faster."""


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
