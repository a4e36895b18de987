"""Literal texts that a line must contain before a pattern can match it at all.

A literal search costs a hundredth of a pattern search, so most lines of a log are never tried. Nothing is guessed: for
a pattern that is not understood the answer is None, and every line is tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pilotext.rules.conditions import Condition

MIN_LITERAL_CHARS = 3
"""Shorter literals are in too many lines to be worth a search."""

DIGIT_RARITY = 0.4
"""Letters that a digit is worth in the choice of the rarest text: logs of physics are full of numbers."""

_FOLDS_OUTSIDE_ASCII = "iks"
"""Letters that, without regard to case, are equal to letters beyond ASCII (the Kelvin sign, the long s, i's dots)."""

_GLOBAL_FLAGS = re.compile(r"\(\?([a-zA-Z0-9]+)\)")
_GROUP_HEAD = re.compile(r"\?(?:P?<\w+>|:)")
_LOOK_AROUND = re.compile(r"\?<?[=!]")
_QUANTIFIER = re.compile(r"[*?+]|\{(\d*),?\d*\}")
SET = r"\[\^?\]?(?:\\.|[^\]\\\[])*\]"
_SET = re.compile(SET, re.DOTALL)


@dataclass(frozen=True)
class RequiredLiterals:
    """Required literals: a matching line contains one of `texts`; `folded` ones are lower case and match any case."""

    texts: frozenset[str]
    folded: bool = False


class _NotUnderstoodError(Exception):
    """The pattern has an element for which no literal can be derived."""


def required_literals(condition: Condition) -> RequiredLiterals | None:
    """Return the literals that a text condition requires; None if unknown."""
    if condition.match is not None:
        return literals_of_pattern(condition.match)
    literal = condition.contains or condition.absent
    return None if literal is None else RequiredLiterals(frozenset([literal]))


def literal_length(condition: Condition) -> int:
    """Return the length of the shortest of the texts that a condition requires; 0 if none is known."""
    known = required_literals(condition)
    return 0 if known is None else min(map(len, known.texts))


def literals_of_pattern(pattern: str) -> RequiredLiterals | None:
    """Return the literals that a pattern of the `regex` module requires; None if unknown."""
    if pattern not in _derived:
        _derived[pattern] = _literals_of_pattern(pattern)
    return _derived[pattern]


def remember_literals(known: Mapping[str, RequiredLiterals | None]) -> None:
    """Take what was derived for these patterns before: to derive it for all rules takes as long as all imports."""
    _derived.update(known)


_derived: dict[str, RequiredLiterals | None] = {}


def _literals_of_pattern(pattern: str) -> RequiredLiterals | None:
    flags = _GLOBAL_FLAGS.match(pattern)
    if flags and not set(flags[1]) <= set("ims"):
        return None
    folded = flags is not None and "i" in flags[1]
    try:
        reader = _Reader(pattern[flags.end() :] if flags else pattern, folded)
        texts = reader.alternatives()
        if reader.rest:
            return None
    except _NotUnderstoodError:
        return None
    return RequiredLiterals(texts, folded) if texts else None


class _Reader:
    """Recursive-descent reader of a pattern; an empty set of texts means that nothing is required."""

    def __init__(self, pattern: str, folded: bool) -> None:
        self.rest = pattern
        self._folded = folded

    def alternatives(self) -> frozenset[str]:
        """Read `a|b|c`: one text of each branch, or nothing if a branch requires nothing."""
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return frozenset().union(*branches) if all(branches) else frozenset()

    def _sequence(self) -> frozenset[str]:
        """Read a sequence: all pieces are required, and the longest is the rarest."""
        best: frozenset[str] = frozenset()
        run = ""
        while self.rest and self.rest[0] not in "|)":
            letter, group = self._piece()
            least, plain = self._quantifier()
            if letter and plain:
                run += letter
                continue
            best = _better(best, self._texts(run + letter if letter and least else run))
            run = ""
            if group and least:
                best = _better(best, group)
        return _better(best, self._texts(run))

    def _texts(self, run: str) -> frozenset[str]:
        parts = [run]
        if self._folded:
            parts = re.split(f"[{_FOLDS_OUTSIDE_ASCII}]|[^\\x00-\\x7f]", run.lower())
        longest = max("\n".join(parts).split("\n"), key=len)
        return frozenset([longest]) if len(longest) >= MIN_LITERAL_CHARS else frozenset()

    def _piece(self) -> tuple[str, frozenset[str]]:
        """Read the next piece: its letter, or the texts that its group requires."""
        if found := _SET.match(self.rest):
            self.rest = self.rest[found.end() :]
            return "", frozenset()
        first, self.rest = self.rest[0], self.rest[1:]
        if first == "\\":
            return self._escape(), frozenset()
        if first == "(":
            return "", self._group()
        if first in "[*?+{":
            raise _NotUnderstoodError
        return ("" if first in ".^$" else first), frozenset()

    def _escape(self) -> str:
        """Return the letter of an escape like `\\.`; empty for classes, borders and line ends."""
        letter, self.rest = self.rest[:1], self.rest[1:]
        if letter and letter in "dDwWsSbBAZntr":
            return ""
        if not letter or letter.isalnum() or not letter.isascii():
            raise _NotUnderstoodError
        return letter

    def _group(self) -> frozenset[str]:
        looks = _LOOK_AROUND.match(self.rest)
        head = looks or _GROUP_HEAD.match(self.rest)
        if self.rest.startswith("?") and head is None:  # conditions, flags, comments
            raise _NotUnderstoodError
        self.rest = self.rest[head.end() :] if head else self.rest
        texts = self.alternatives()
        if not self._take(")"):
            raise _NotUnderstoodError
        return frozenset() if looks else texts

    def _quantifier(self) -> tuple[bool, bool]:
        """Return whether the piece before occurs at least once, and whether exactly once."""
        found = _QUANTIFIER.match(self.rest)
        if found is None:
            return True, True
        self.rest = self.rest[found.end() :]
        if self.rest[:1] in ("?", "+"):  # lazy and possessive
            self.rest = self.rest[1:]
        if _QUANTIFIER.match(self.rest) or (found[0].startswith("{") and not found[1]):
            raise _NotUnderstoodError
        return found[0] == "+" or bool(found[1] and int(found[1]) > 0), False

    def _take(self, letter: str) -> bool:
        if not self.rest.startswith(letter):
            return False
        self.rest = self.rest[1:]
        return True


def _better(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Return the rarer set of texts: longer texts, then fewer of them."""
    return max(one, other, key=lambda texts: (min(map(_rarity, texts), default=0.0), -len(texts)))


def _rarity(text: str) -> float:
    """Return the length of a text, of which digits count less."""
    digits = sum(map(str.isdigit, text))
    return len(text) - (1 - DIGIT_RARITY) * digits
