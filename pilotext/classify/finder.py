"""Which lines of a block are shown to which condition: those with a literal that its pattern cannot do without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pilotext.classify.clean import Block
from pilotext.classify.literals import needed_by
from pilotext.rules.schema import Condition

Wanted = Mapping[bytes, Sequence[int]]


class Finder:
    """Chooses lines for all conditions of a stream together; it may choose too many, never too few."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._every: list[int] = []
        self._exact: dict[bytes, list[int]] = defaultdict(list)
        self._folded: dict[bytes, list[int]] = defaultdict(list)
        for index, condition in enumerate(conditions):
            needed = needed_by(condition)
            if needed is None:
                self._every.append(index)
                continue
            for text in needed.texts:
                (self._folded if needed.folded else self._exact)[text.encode()].append(index)

    def candidates(self, block: Block) -> list[tuple[int, int]]:
        """Pairs of a line's number and the index of a condition that must look at it, in the order of the lines."""
        places = [*_places(block.cleaned, self._exact)]
        if self._folded:
            places += _places(block.cleaned.lower(), self._folded)
        found = {*_in_lines(block, sorted(places))}
        found.update((number, index) for index in self._every for number in range(block.number, block.end))
        return sorted(found)


def _places(data: bytes, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """A place in every line that has one of the texts, with each condition that wants it."""
    for text, indices in wanted.items():
        at = data.find(text)
        while at >= 0:
            yield from ((at, index) for index in indices)
            line_end = data.find(b"\n", at)
            at = data.find(text, line_end) if line_end >= 0 else -1


def _in_lines(block: Block, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    number, before = block.number, 0
    for place, index in places:
        number += block.cleaned.count(b"\n", before, place)
        before = place
        yield number, index
