"""Slow patterns: those whose search does not end in time on lines that nearly match.

The lines are derived from the pattern: for every part that repeats, the text required before it, the part many times,
and an end that does not fit. Quadratic time in the length of a line is accepted; more is not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice
from typing import Any

import regex

from pilotext.errors import FileProblem
from pilotext.rules.lint.group import Group, patterns_in
from pilotext.rules.patterns import compile_pattern

# From the first length to the second, quadratic time grows 16 times and cubic time 64 times. The slowest of our
# quadratic patterns, `(?:\S+: )+x`, takes 0.015 s and 0.3 s of CPU.
FIRST_LOOK = (1_000, 0.03)
PROOF = (4_000, 2.0)
"""Length of a line in characters, and the seconds of CPU that a pattern may need for it."""

ENDS = ("!", " ", "", "0")
ADVICE = "Avoid a repeat inside a repeat, and adjacent repeats that match the same text: write `[^:]*:`, not `.*:`."


def slow_patterns(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        if line := slow_line(pattern):
            yield entry.problem(field, f"the pattern needs too long for a line like `{line}`.", ADVICE)


@cache
def slow_line(pattern: str) -> str:
    """Return a shortened line on which the pattern does not end in time; empty if none is found."""
    try:
        compiled = compile_pattern(pattern)
    except regex.error:
        return ""
    for repeat in repeats_of(pattern):
        short, long = (_vain_lines(repeat, length) for length, _ in (FIRST_LOOK, PROOF))
        for first, proof in zip(short, long, strict=True):
            if not _in_time(compiled, first, FIRST_LOOK[1]) and not _in_time(compiled, proof, PROOF[1]):
                return f"{first[:20]}...{first[-20:]}"
    return ""


def _vain_lines(repeat: Repeat, length: int) -> list[str]:
    """Return lines with the part many times; the text required after it is elsewhere or missing."""
    middle = repeat.before + repeat.text * (length // len(repeat.text))
    texts = [form for end in ENDS for form in (middle + end, repeat.after + middle + end, middle + end + repeat.after)]
    return list(dict.fromkeys(texts))


def _in_time(pattern: regex.Pattern[str], line: str, seconds: float) -> bool:
    try:
        pattern.search(line, timeout=seconds)
    except TimeoutError:
        return False
    return True


# Python's pattern parser has no public interface, and type checkers disagree about this one.
kind: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

UNBOUNDED = 50
"""Repeats from this number on cost as much as unbounded ones."""

MAX_TEXTS = 6
"""Texts tried for one part."""

_NAMED = re.compile(r"\(\?<(?![=!])")
_PROPERTY = re.compile(r"\\p\{\w+\}")
_REPEATS = (kind.MAX_REPEAT, kind.MIN_REPEAT, kind.POSSESSIVE_REPEAT)
_SETS = (kind.IN, kind.ANY, kind.NOT_LITERAL, kind.LITERAL)
_OTHER_LETTERS = "a0Z_ .:-/"
_CATEGORIES: dict[object, Callable[[str], bool]] = {
    kind.CATEGORY_DIGIT: str.isdigit,
    kind.CATEGORY_SPACE: str.isspace,
    kind.CATEGORY_WORD: lambda letter: letter.isalnum() or letter == "_",
}
_NEGATED = {
    kind.CATEGORY_NOT_DIGIT: kind.CATEGORY_DIGIT,
    kind.CATEGORY_NOT_SPACE: kind.CATEGORY_SPACE,
    kind.CATEGORY_NOT_WORD: kind.CATEGORY_WORD,
}

Node = tuple[Any, Any]


@dataclass(frozen=True)
class Repeat:
    """Repeating part of a pattern: a text that fits it, and texts that fit the parts before and after it."""

    before: str
    text: str
    after: str


def repeats_of(pattern: str) -> list[Repeat]:
    """Return every part that repeats, once for each variant.

    A pattern that only the `regex` module understands is treated as one repeat of its words.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # about sets, for Python's own matcher
            tree = parser.parse(_PROPERTY.sub(r"\\w", _NAMED.sub("(?P<", pattern)))
    except (re.error, ValueError, OverflowError, RecursionError):
        return [Repeat("", word, "") for word in dict.fromkeys(re.findall(r"\w+", pattern))]
    return list(dict.fromkeys(_TextGenerator(tree).repeats(tree, "", "")))


class _TextGenerator:
    """Generator of texts for the parts of one pattern, from letters that fit as many parts as possible."""

    def __init__(self, tree: Iterable[Node]) -> None:
        sets = [node for node in _nodes(tree) if node[0] in _SETS]
        letters = dict.fromkeys([*(letter for node in sets for letter in _named_letters(node)), *_OTHER_LETTERS])
        self._letters = sorted(letters, key=lambda letter: -sum(_fits(node, letter) for node in sets))
        self._sets = sets  # kept, so that no other node can have the id of one of them
        self._fitting = {id(node): self._that_fit(node) for node in sets}

    def repeats(self, nodes: Iterable[Node], before: str, after: str) -> Iterator[Repeat]:
        pieces = [(node, self._of_node(node)[0]) for node in nodes]
        for number, (node, text) in enumerate(pieces):
            op, value = node
            behind = "".join(other for _, other in pieces[number + 1 :]) + after
            if op in _REPEATS and value[1] >= UNBOUNDED:
                yield from (Repeat(before, fitting, behind) for fitting in self.texts(value[2]) if fitting)
            for inner in _inner(node):
                yield from self.repeats(inner, before, behind)
            before += text

    def texts(self, nodes: Sequence[Node]) -> list[str]:
        """Return some texts that fit a sequence of parts, with the variants of all parts."""
        pieces = [self._of_node(node) for node in nodes]
        count = max(map(len, pieces), default=1)
        made = ("".join(piece[number % len(piece)] for piece in pieces) for number in range(count))
        return [*islice(dict.fromkeys(made), MAX_TEXTS)] or [""]

    def _that_fit(self, node: Node) -> list[str]:
        return [*islice((letter for letter in self._letters if _fits(node, letter)), 2)] or ["a"]

    def _of_node(self, node: Node) -> list[str]:
        op, value = node
        if op in _SETS:
            return self._fitting.get(id(node)) or self._that_fit(node)
        if op is kind.BRANCH:
            return [text for branch in value[1] for text in self.texts(branch)]
        if op in _REPEATS:
            least = [""] if value[0] == 0 else []
            return [text * max(1, value[0]) for text in self.texts(value[2])] + least
        if op in (kind.SUBPATTERN, kind.ATOMIC_GROUP):
            return self.texts(value[3] if op is kind.SUBPATTERN else value)
        return [""]


def _inner(node: Node) -> list[Sequence[Node]]:
    """Return the sequences of parts inside a part."""
    op, value = node
    if op is kind.BRANCH:
        return list(value[1])
    if op in _REPEATS:
        return [value[2]]
    if op is kind.SUBPATTERN:
        return [value[3]]
    if op in (kind.ASSERT, kind.ASSERT_NOT):
        return [value[1]]
    return [value] if op is kind.ATOMIC_GROUP else []


def _nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for inner in _inner(node):
            yield from _nodes(inner)


def _named_letters(node: Node) -> Iterator[str]:
    op, value = node
    if op is kind.LITERAL:
        yield chr(value)
    elif op is kind.RANGE:
        yield from map(chr, value)
    elif op is kind.IN:
        for part in value:
            yield from _named_letters(part)


def _fits(node: Node, letter: str) -> bool:
    op, value = node
    if op is kind.IN:
        negated = value[0][0] is kind.NEGATE
        return any(_fits(part, letter) for part in value) is not negated
    if op is kind.RANGE:
        return bool(value[0] <= ord(letter) <= value[1])
    if op is kind.CATEGORY:
        plain = _NEGATED.get(value, value)
        return _CATEGORIES[plain](letter) is (plain is value)
    if op is kind.ANY:
        return letter != "\n"
    return op in (kind.LITERAL, kind.NOT_LITERAL) and (value == ord(letter)) is (op is kind.LITERAL)
