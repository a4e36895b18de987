"""The pieces of a regular expression that repeat without a bound, each with texts that fit it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

# The parser of Python's own patterns has no other door, and type checkers do not agree whether it has this one.
kind: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

UNBOUNDED = 50
"""So many repeats cost as much as any number."""

MOST_TEXTS = 6
"""Texts that are tried for one piece."""

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
    """A piece that repeats: a text that fits it, and texts for what stands before and after it in the pattern."""

    before: str
    text: str
    after: str


def repeats_of(pattern: str) -> list[Repeat]:
    """Every piece that repeats, several times if it has variants.

    A pattern that only the `regex` module understands is taken for one repeat of its words.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # about sets, for Python's own matcher
            tree = parser.parse(_PROPERTY.sub(r"\\w", _NAMED.sub("(?P<", pattern)))
    except (re.error, ValueError, OverflowError, RecursionError):
        return [Repeat("", word, "") for word in dict.fromkeys(re.findall(r"\w+", pattern))]
    return list(dict.fromkeys(_Texts(tree).repeats(tree, "", "")))


class _Texts:
    """Makes texts for the pieces of one pattern out of letters that fit as many of its pieces as possible."""

    def __init__(self, tree: Iterable[Node]) -> None:
        sets = [node for node in _nodes(tree) if node[0] in _SETS]
        letters = dict.fromkeys([*(letter for node in sets for letter in _named_letters(node)), *_OTHER_LETTERS])
        self._letters = sorted(letters, key=lambda letter: -sum(_fits(node, letter) for node in sets))

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
        """Some texts that fit a sequence of pieces, the variants of all pieces side by side."""
        pieces = [self._of_node(node) for node in nodes]
        count = max(map(len, pieces), default=1)
        made = ("".join(piece[number % len(piece)] for piece in pieces) for number in range(count))
        return [*islice(dict.fromkeys(made), MOST_TEXTS)] or [""]

    def _of_node(self, node: Node) -> list[str]:
        op, value = node
        if op in _SETS:
            return [*islice((letter for letter in self._letters if _fits(node, letter)), 2)] or ["a"]
        if op is kind.BRANCH:
            return [text for branch in value[1] for text in self.texts(branch)]
        if op in _REPEATS:
            least = [""] if value[0] == 0 else []
            return [text * max(1, value[0]) for text in self.texts(value[2])] + least
        if op in (kind.SUBPATTERN, kind.ATOMIC_GROUP):
            return self.texts(value[3] if op is kind.SUBPATTERN else value)
        return [""]


def _inner(node: Node) -> list[Sequence[Node]]:
    """The sequences of pieces inside a piece."""
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
