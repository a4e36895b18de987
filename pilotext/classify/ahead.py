"""The look at a large block goes on in a second thread while the one before is judged: hyperscan lets Python run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from pilotext.classify.clean import Block
from pilotext.classify.fastscan import is_fast_for

Seen = Sequence[int]

MOST_WAITING = 2
"""Blocks that are looked at ahead: memory is theirs, and more would gain nothing."""


class Ahead:
    """Looks at blocks, each with the same `look`, and gives them back in order with what was seen."""

    def __init__(self, look: Callable[[Block], Seen]) -> None:
        self._look = look
        self._waiting: deque[tuple[Block, Future[Seen]]] = deque()

    def ahead(self, block: Block) -> Iterator[tuple[Block, Seen]]:
        """Begin with a block; gives those that are due."""
        if not is_fast_for(block.cleaned):
            yield from self.rest()
            yield block, self._look(block)
            return
        self._waiting.append((block, _second_thread().submit(self._look, block)))
        while len(self._waiting) > MOST_WAITING:
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
