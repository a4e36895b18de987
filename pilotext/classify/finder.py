"""Which lines of a block are shown to which condition: those with a literal that its pattern cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from heapq import merge

from pilotext.classify.clean import Block
from pilotext.classify.fastscan import Look, Present, is_fast_for
from pilotext.classify.literals import needed_by
from pilotext.classify.within_line import pattern_for_ascii
from pilotext.rules.schema import Condition

PATTERNS_AFTER_BYTES = 8 << 20
"""The patterns of all rules take hyperscan a second to compile; their texts alone do for a log that is no longer."""


class Finder:
    """Chooses lines for all conditions of a stream together; it may choose too many, never too few."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._every: list[int] = []
        self._wanted = [Look(index) for index, _ in enumerate(conditions)]
        for index, condition in enumerate(conditions):
            needed = needed_by(condition)
            if needed is None:
                self._every.append(index)
                continue
            texts = tuple(text.encode() for text in sorted(needed.texts))
            self._wanted[index] = Look(index, None, texts, needed.folded)
        self._conditions = conditions
        self._texts = Present([look for look in self._wanted if look.texts])
        self._patterns: Future[Present] | None = None
        """Choose fewer lines than the texts do, once they are there."""
        self._looked_at = 0

    def present(self, block: Block) -> list[int]:
        """The conditions that must look at some line of the block, in order."""
        data = block.cleaned
        if not is_fast_for(data):
            return sorted([*self._every, *self._looked_up(data)])
        return sorted([*self._every, *self._database(block).present(data)])

    def _database(self, block: Block) -> Present:
        """Return the texts until the patterns, which are made in a thread of their own, are ready."""
        self._looked_at += len(block.cleaned)
        if self._patterns is None and self._looked_at > PATTERNS_AFTER_BYTES:
            self._patterns = _compiler().submit(self._compiled)
        if not block.is_ascii or self._patterns is None or not self._patterns.done():
            return self._texts
        return self._patterns.result()

    def _compiled(self) -> Present:
        looks = [look for look in self._wanted if look.texts]
        patterns = Present(
            [Look(one.number, pattern_for_ascii(self._conditions[one.number]), one.texts, one.folded) for one in looks]
        )
        patterns.compile()
        return patterns

    def _looked_up(self, data: bytes) -> Iterator[int]:
        lower = data.lower()
        for look in self._wanted:
            if any(text in (lower if look.folded else data) for text in look.texts):
                yield look.number

    def places(self, block: Block, index: int) -> Iterable[int]:
        """A place in every line that this condition must look at, in order."""
        look = self._wanted[index]
        if not look.texts:
            return begins(block.cleaned)
        data = block.cleaned.lower() if look.folded else block.cleaned
        found = [_places(data, text) for text in look.texts]
        return found[0] if len(found) == 1 else merge(*found)

    def places_from_end(self, block: Block, index: int) -> Iterable[int]:
        """The same from the last one on."""
        look = self._wanted[index]
        if len(look.texts) != 1 or look.folded:
            return reversed([*self.places(block, index)])
        return _places_from_end(block.cleaned, look.texts[0])


@cache
def _compiler() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pilotext-compile")


def begins(data: bytes) -> Iterator[int]:
    """Where the lines of a block begin."""
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
