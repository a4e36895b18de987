r"""Literal texts by which the lines are chosen that a pattern is tried on.

They are the required literals of the pattern (`literals`), or, where these are short or numbers and thus in many lines,
longer texts with what stands beside them: `(?:ERROR|FATAL) +\[` requires `ERROR` or `FATAL`; it is searched by
`ERROR [`, `ERROR  `, `FATAL [` and `FATAL  `.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import (
    DerivedTexts,
    PatternNotUnderstoodError,
    PatternReader,
    RequiredLiterals,
    literals_of_pattern,
    min_rarity,
    rarer,
    required_literals,
)

RARE = 6.5
"""Rarity (`literals.min_rarity`) from which on required literals are searched as they are."""

MAX_TEXTS = 16
"""Texts by which one pattern is searched; in a block with one of them, Python searches each."""

MAX_SET_CHARS = 8
MAX_REPETITIONS = 8
_SET_MEMBER = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)
_SET_CLASS = re.compile(r"\\[A-Za-z0-9]|[^\x00-\x7f]")


def search_texts(condition: Condition) -> RequiredLiterals | None:
    """Return the texts of which one is in each line that fulfils a condition; None if unknown."""
    return required_literals(condition) if condition.match is None else search_texts_of_pattern(condition.match)


def _search_texts_of_pattern(pattern: str) -> RequiredLiterals | None:
    required = literals_of_pattern(pattern)
    if required is None or min_rarity(required.texts) >= RARE:
        return required
    flags = re.match(r"\(\?[a-zA-Z0-9]+\)", pattern)
    reader = _Reader(pattern[flags.end() :] if flags else pattern, required.folded)
    try:
        texts = reader.choices().required
    except PatternNotUnderstoodError:
        return required
    return RequiredLiterals(rarer(required.texts, texts), required.folded)


search_texts_of_pattern = DerivedTexts(_search_texts_of_pattern)
"""Texts of which one is in each line that a pattern of the `regex` module matches."""


@dataclass(frozen=True)
class _Beginnings:
    """Begin of the matches of a part of a pattern: each is one of `whole`, or begins with one of `begun`."""

    whole: frozenset[str]
    begun: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.whole) + len(self.begun)

    @property
    def texts(self) -> frozenset[str]:
        return self.whole | self.begun

    def then(self, other: _Beginnings) -> _Beginnings:
        whole = frozenset(one + more for one in self.whole for more in other.whole)
        return _Beginnings(whole, self.begun | {one + more for one in self.whole for more in other.begun})

    def cut(self) -> _Beginnings:
        """Return the same if anything may follow."""
        return _Beginnings(frozenset(), self.texts)

    def ends(self) -> _Beginnings:
        """Return the ends of the same of which each match has one: `a` stands for `xa`, too."""
        whole = frozenset(one for one in self.whole if not any(one != end and one.endswith(end) for end in self.whole))
        return _Beginnings(whole, self.begun)

    def repeated(self, least: int, most: int | None) -> _Beginnings:
        if least == 0:
            once = self if most == 1 else self.cut()
            return _Beginnings(once.whole | {""}, once.begun) if most != 0 else _EMPTY
        if least > MAX_REPETITIONS or len(self) ** least > MAX_TEXTS:
            return self.cut()
        first = self
        for _ in range(least - 1):
            first = first.then(self)
        if most == least:
            return first
        more = first.then(self)
        return _Beginnings(first.whole, first.begun | more.texts)


_EMPTY = _Beginnings(frozenset([""]))
_ANYTHING = _Beginnings(frozenset(), frozenset([""]))


@dataclass(frozen=True)
class _Part:
    """Part of a pattern: how its matches begin, and texts of which each contains one (empty if unknown)."""

    begins: _Beginnings
    required: frozenset[str] = frozenset()


class _Reader(PatternReader):
    """Reader of a pattern that combines what stands side by side, as long as the combinations are few."""

    def choices(self) -> _Part:
        """Read `a|b|c`."""
        branches = [self._combined()]
        while self.take("|"):
            branches.append(self._combined())
        whole = frozenset().union(*(branch.begins.whole for branch in branches))
        begun = frozenset().union(*(branch.begins.begun for branch in branches))
        required = [branch.required for branch in branches]
        return _Part(_Beginnings(whole, begun), frozenset().union(*required) if all(required) else frozenset())

    def _combined(self) -> _Part:
        best: frozenset[str] = frozenset()
        begins = run = _EMPTY
        while self.rest and self.rest[0] not in "|)":
            piece = self._part()
            least, most = self._repetitions()
            if least:
                best = rarer(best, piece.required)
            repeated = piece.begins.repeated(least, most)
            begins = _joined(begins, repeated) or begins.cut()
            longer = _joined(run, repeated)
            if longer is None or not longer.whole or not all(map(self.texts, longer.begun)):
                best = rarer(best, self._searchable(run.texts))
                best = rarer(best, self._searchable(longer.texts)) if longer else best
                is_small = not piece.begins.begun and len(piece.begins) <= MAX_TEXTS
                longer = piece.begins if least and is_small else _EMPTY
            run = longer.ends()
        return _Part(begins, rarer(best, self._searchable(run.texts)))

    def _searchable(self, texts: Iterable[str]) -> frozenset[str]:
        """Return one text that can be searched for each of these; nothing if one of them is too short."""
        found = [self.texts(text) for text in texts]
        every = frozenset().union(*found)
        return frozenset(one for one in every if not _has_part(one, every)) if all(found) else frozenset()

    def _part(self) -> _Part:
        if self.take("("):
            return self._group_part()
        if chars := self.take_set():
            return _Part(_members(chars))
        before = self.rest
        letter = self.letter()
        if letter:
            return _Part(_Beginnings(frozenset([letter])))
        is_empty = before[0] in "^$" or before[:2] in (r"\b", r"\B", r"\A", r"\Z")
        return _Part(_EMPTY if is_empty else _ANYTHING)

    def _group_part(self) -> _Part:
        looks = self.take_head()
        part = self.choices()
        self.take_end()
        return _Part(_EMPTY) if looks else part

    def _repetitions(self) -> tuple[int, int | None]:
        """Return how often the piece before occurs, at least and at most."""
        written = self.take_quantifier()
        if written in ("", "?", "*", "+"):
            return {"": (1, 1), "?": (0, 1), "*": (0, None), "+": (1, None)}[written]
        least, comma, most = written[1:-1].partition(",")
        return int(least), int(most) if most else None if comma else int(least)


def _joined(one: _Beginnings, other: _Beginnings) -> _Beginnings | None:
    """Return the combinations; None if they are too many."""
    if len(one.whole) * len(other) + len(one.begun) > MAX_TEXTS:
        return None
    return one.then(other)


def _members(written: str) -> _Beginnings:
    """Return the characters of a set like `[=: ]` or `[1-4]`, if they are few."""
    if written.startswith("[^") or _SET_CLASS.search(written):
        return _ANYTHING
    chars: set[str] = set()
    for found in _SET_MEMBER.finditer(written[1:-1]):
        chars.update(map(chr, range(ord(found[1]), ord(found[2] or found[1]) + 1)))
    return _Beginnings(frozenset(chars)) if 0 < len(chars) <= MAX_SET_CHARS else _ANYTHING


def _has_part(text: str, texts: Iterable[str]) -> bool:
    return any(other in text for other in texts if other != text)
