"""The last lines of a stream, for patterns that span several and for quoting a line with its surroundings."""

from __future__ import annotations

from collections import deque

from pilotext.classify.clean import Block, Line


class Recent:
    """The newest block of a stream, and at least the last `keep` lines before it."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._blocks: deque[Block] = deque()

    def add(self, block: Block) -> None:
        while len(self._blocks) > 1 and self.end - self._blocks[1].number >= self._keep:
            self._blocks.popleft()
        self._blocks.append(block)

    @property
    def end(self) -> int:
        """The number of the first line that is not there yet."""
        return self._blocks[-1].end if self._blocks else 1

    def lines(self, start: int, stop: int) -> list[Line]:
        """The lines numbered from `start` to before `stop`, as far as they are held."""
        return [
            block.line(number)
            for block in self._blocks
            for number in range(max(start, block.number), min(stop, block.end))
        ]

    def tail(self, most: int) -> tuple[Line, ...]:
        """The last lines, at most this many."""
        return tuple(self.lines(self.end - most, self.end))
