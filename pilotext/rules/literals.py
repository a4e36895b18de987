"""Literal texts that a line must contain before a pattern can match it at all.

A literal search costs a hundredth of a pattern search, so most lines of a log are never tried. Nothing is guessed: for
a pattern that is not understood the answer is None, and every line is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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


class PatternNotUnderstoodError(Exception):
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


class DerivedTexts:
    """Texts that are derived of patterns, of each once; None for a pattern for which there are none."""

    def __init__(self, derive: Callable[[str], RequiredLiterals | None]) -> None:
        self._derive = derive
        self._known: dict[str, RequiredLiterals | None] = {}

    def __call__(self, pattern: str) -> RequiredLiterals | None:
        if pattern not in self._known:
            self._known[pattern] = self._derive(pattern)
        return self._known[pattern]

    def remember(self, known: Mapping[str, RequiredLiterals | None]) -> None:
        """Take what was derived before: to derive it for all rules takes as long as all imports."""
        self._known.update(known)


def _literals_of_pattern(pattern: str) -> RequiredLiterals | None:
    flags = _GLOBAL_FLAGS.match(pattern)
    if flags and not set(flags[1]) <= set("ims"):
        return None
    folded = flags is not None and "i" in flags[1]
    try:
        reader = PatternReader(pattern[flags.end() :] if flags else pattern, folded)
        texts = reader.alternatives()
        if reader.rest:
            return None
    except PatternNotUnderstoodError:
        return None
    return RequiredLiterals(texts, folded) if texts else None


literals_of_pattern = DerivedTexts(_literals_of_pattern)
"""Literals that a pattern of the `regex` module requires."""


class PatternReader:
    """Recursive-descent reader of a pattern; an empty set of texts means that nothing is required."""

    def __init__(self, pattern: str, folded: bool) -> None:
        self.rest = pattern
        self._folded = folded

    def alternatives(self) -> frozenset[str]:
        """Read `a|b|c`: one text of each branch, or nothing if a branch requires nothing."""
        branches = [self._sequence()]
        while self.take("|"):
            branches.append(self._sequence())
        return frozenset().union(*branches) if all(branches) else frozenset()

    def _sequence(self) -> frozenset[str]:
        """Read a sequence: all pieces are required, and the longest is the rarest."""
        best: frozenset[str] = frozenset()
        run = ""
        while self.rest and self.rest[0] not in "|)":
            letter, group = self._piece()
            least, plain = self._occurrence()
            if letter and plain:
                run += letter
                continue
            best = rarer(best, self.texts(run + letter if letter and least else run))
            run = ""
            if group and least:
                best = rarer(best, group)
        return rarer(best, self.texts(run))

    def texts(self, run: str) -> frozenset[str]:
        parts = [run]
        if self._folded:
            parts = re.split(f"[{_FOLDS_OUTSIDE_ASCII}]|[^\\x00-\\x7f]", run.lower())
        longest = max("\n".join(parts).split("\n"), key=len)
        return frozenset([longest]) if len(longest) >= MIN_LITERAL_CHARS else frozenset()

    def _piece(self) -> tuple[str, frozenset[str]]:
        """Read the next piece: its letter, or the texts that its group requires."""
        if self.take_set():
            return "", frozenset()
        if self.take("("):
            return "", self._group()
        return self.letter(), frozenset()

    def take_set(self) -> str:
        """Read a set like `[ab]`, if one is next."""
        found = _SET.match(self.rest)
        self.rest = self.rest[found.end() :] if found else self.rest
        return found[0] if found else ""

    def letter(self) -> str:
        """Read a letter; empty for what stands for others, or for none."""
        first, self.rest = self.rest[0], self.rest[1:]
        if first == "\\":
            return self._escape()
        if first in "[*?+{":
            raise PatternNotUnderstoodError
        return "" if first in ".^$" else first

    def _escape(self) -> str:
        """Return the letter of an escape like `\\.`; empty for classes, borders and line ends."""
        letter, self.rest = self.rest[:1], self.rest[1:]
        if letter and letter in "dDwWsSbBAZntr":
            return ""
        if not letter or letter.isalnum() or not letter.isascii():
            raise PatternNotUnderstoodError
        return letter

    def _group(self) -> frozenset[str]:
        looks = self.take_head()
        texts = self.alternatives()
        self.take_end()
        return frozenset() if looks else texts

    def take_head(self) -> bool:
        """Read what follows the bracket of a group, and return whether it looks around."""
        looks = _LOOK_AROUND.match(self.rest)
        head = looks or _GROUP_HEAD.match(self.rest)
        if self.rest.startswith("?") and head is None:  # conditions, flags, comments
            raise PatternNotUnderstoodError
        self.rest = self.rest[head.end() :] if head else self.rest
        return looks is not None

    def take_end(self) -> None:
        """Read the bracket that ends a group."""
        if not self.take(")"):
            raise PatternNotUnderstoodError

    def _occurrence(self) -> tuple[bool, bool]:
        """Return whether the piece before occurs at least once, and whether exactly once."""
        written = self.take_quantifier()
        least = written.strip("{}").partition(",")[0]
        return written in ("", "+") or (least.isdigit() and int(least) > 0), not written

    def take_quantifier(self) -> str:
        """Read the quantifier of the piece before, if it has one, without the mark of lazy and possessive ones."""
        found = _QUANTIFIER.match(self.rest)
        if found is None:
            return ""
        self.rest = self.rest[found.end() :]
        if self.rest[:1] in ("?", "+"):  # lazy and possessive
            self.rest = self.rest[1:]
        if _QUANTIFIER.match(self.rest) or (found[0].startswith("{") and not found[1]):
            raise PatternNotUnderstoodError
        return found[0]

    def take(self, letter: str) -> bool:
        if not self.rest.startswith(letter):
            return False
        self.rest = self.rest[1:]
        return True


def rarer(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Return the rarer set of texts: longer texts, then fewer of them."""
    return max(one, other, key=lambda texts: (min_rarity(texts), -len(texts)))


def min_rarity(texts: Iterable[str]) -> float:
    """Return the rarity of the most frequent of these texts."""
    return min(map(_rarity, texts), default=0.0)


def _rarity(text: str) -> float:
    """Return the length of a text, of which digits count less."""
    digits = sum(map(str.isdigit, text))
    return len(text) - (1 - DIGIT_RARITY) * digits
