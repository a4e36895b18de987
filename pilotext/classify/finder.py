"""Which lines of a block are shown to which condition: those with a literal that its pattern cannot do without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge

from pilotext.classify.clean import Block
from pilotext.classify.fastscan import Texts
from pilotext.classify.literals import needed_by
from pilotext.rules.schema import Condition


class Finder:
    """Chooses lines for all conditions of a stream together; it may choose too many, never too few."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._every: list[int] = []
        self._wanted: list[list[tuple[bytes, bool]]] = [[] for _ in conditions]
        owners: dict[tuple[bytes, bool], list[int]] = defaultdict(list)
        for index, condition in enumerate(conditions):
            needed = needed_by(condition)
            if needed is None:
                self._every.append(index)
                continue
            self._wanted[index] = [(text.encode(), needed.folded) for text in sorted(needed.texts)]
            for text in self._wanted[index]:
                owners[text].append(index)
        self._owners = list(owners.values())
        self._texts = Texts(list(owners))

    def present(self, block: Block) -> list[int]:
        """The conditions that must look at some line of the block, in order."""
        seen = {index for text in self._texts.present(block.cleaned) for index in self._owners[text]}
        return sorted(seen.union(self._every))

    def places(self, block: Block, index: int) -> Iterable[int]:
        """A place in every line that this condition must look at, in order."""
        wanted = self._wanted[index]
        if not wanted:
            return begins(block.cleaned)
        found = [_places(block.cleaned.lower() if folded else block.cleaned, text) for text, folded in wanted]
        return found[0] if len(found) == 1 else merge(*found)

    def places_from_end(self, block: Block, index: int) -> Iterable[int]:
        """The same from the last one on."""
        wanted = self._wanted[index]
        if len(wanted) != 1 or wanted[0][1]:
            return reversed([*self.places(block, index)])
        return _places_from_end(block.cleaned, wanted[0][0])


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
