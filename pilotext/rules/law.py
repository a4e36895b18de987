"""The law of a job: a comparison between counters that holds if no event was lost.

`events_processed + events_skipped == raw_events`: names of counters, numbers, `+ - *`, parentheses, and one comparison
`==`, `<=` or `>=`. `sum(inputs.events)` is for a counter that has one number for each input.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pilotext.errors import UsageError

Number = int | float
Counters = Mapping[str, int | float | Sequence[int | float]]
Term = Callable[[Counters], Number]

COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "==": lambda apart, slack: abs(apart) <= slack,
    "<=": lambda apart, slack: apart <= slack,
    ">=": lambda apart, slack: -apart <= slack,
}
"""Whether two sides that are so far apart (left minus right) fulfil the comparison within the slack."""
OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
DEEPEST = 20
"""Parentheses within parentheses."""
LONGEST = 500

_TOKEN = re.compile(r"\d{1,30}(?:\.\d+)?|[A-Za-z_][\w.]*|[=<>]=|\S")
_NAME = re.compile(r"[A-Za-z_]")


class LawError(UsageError, ValueError):
    """The law cannot be read, or not be computed; the message says where and why."""


@dataclass(frozen=True)
class Law:
    """A law that was read: its sides as they are written and as they are computed, and the counters that it needs."""

    sides: tuple[str, str]
    terms: tuple[Term, Term]
    comparison: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class LawResult:
    """Whether a law holds, and the sentence with the numbers that says why."""

    holds: bool
    sentence: str


def parse(text: str) -> Law:
    """Read a law. Raises LawError, which says what must stand where."""
    parser = _Parser(text)
    left = parser.sum()
    begin, comparison, end = parser.place, parser.take("one of == <= >=", COMPARISONS), parser.place
    right = parser.sum()
    parser.take("nothing more", {""})
    return Law((text[:begin].strip(), text[end:].strip()), (left, right), comparison, tuple(parser.names))


def slack(tolerance: str | float, size: Number) -> Number:
    """How far two sides may be apart, by a number or a percentage of `size`. Raises LawError if it is neither."""
    text = str(tolerance).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise LawError(f"{text!r} is no tolerance.") from None
    if not 0 <= number < float("inf"):
        raise LawError(f"{text!r} is no tolerance.")
    return number * abs(size) / 100 if text.endswith("%") else number


def check(text: str, counters: Counters, tolerance: str | float = 0) -> LawResult:
    """Hold a law against what was counted; percentages of `tolerance` are of its right side.

    A counter that nobody counted breaks it: then nothing proves it. Raises LawError if the law cannot be read.
    """
    law = parse(text)
    missing = [name for name in law.names if name not in counters]
    if missing:
        known = ", ".join(sorted(counters)) or "nothing"
        return LawResult(False, f"{text}: not counted: {', '.join(missing)}; counted: {known}")
    values = [term(counters) for term in law.terms]
    holds = COMPARISONS[law.comparison](values[0] - values[1], slack(tolerance, values[1]))
    sides = [f"{side} is {value}" for side, value in zip(law.sides, values, strict=True) if side != str(value)]
    facts = [f"{name} {counters[name]}" for name in law.names if name not in law.sides]
    numbers = " and ".join(sides) + (f" ({', '.join(facts)})" if facts else "")
    return LawResult(holds, f"{text}: {'holds' if holds else 'broken'}, {numbers}")


class _Parser:
    """Reads a law from left to right; each method takes one kind of thing and returns how to compute it."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise LawError(f"the law is longer than {LONGEST} characters.")
        self._text = text
        self._tokens = [*_TOKEN.finditer(text)]
        self._depth = 0
        self._names: dict[str, None] = {}

    @property
    def names(self) -> Collection[str]:
        """The counters met so far, each once."""
        return self._names.keys()

    @property
    def place(self) -> int:
        """Where the next token begins."""
        return self._tokens[0].start() if self._tokens else len(self._text)

    def take(self, expected: str, among: Collection[str]) -> str:
        """The next token. Raises LawError if it is none of those that can stand here."""
        token = self._next
        if token not in among:
            found = f"{token!r} at column {self.place + 1}" if token else "its end"
            raise LawError(f"the law {self._text!r} has {found} where {expected} must stand.")
        self._tokens = self._tokens[1:]
        return token

    def sum(self) -> Term:
        term = self._product()
        while self._next in {"+", "-"}:
            term = _combined(self.take("an operation", OPERATIONS), term, self._product())
        return term

    @property
    def _next(self) -> str:
        return self._tokens[0][0] if self._tokens else ""

    def _product(self) -> Term:
        term = self._factor()
        while self._next == "*":
            term = _combined(self.take("an operation", OPERATIONS), term, self._factor())
        return term

    def _factor(self) -> Term:
        if self._next == "(":
            return self._parentheses()
        if self._next[:1].isdecimal():
            word = self.take("a number", {self._next})
            number = float(word) if "." in word else int(word)
            return lambda _: number
        name = self._name()
        if name == "sum" and self._next == "(":
            self.take("`(`", {"("})
            name = self._name()
            self.take("`)`", {")"})
            self._names[name] = None
            return lambda counters: _total(counters[name])
        self._names[name] = None
        return lambda counters: _single(name, counters[name])

    def _parentheses(self) -> Term:
        self._depth += 1
        if self._depth > DEEPEST:
            raise LawError(f"the law {self._text!r} has more than {DEEPEST} parentheses within each other.")
        self.take("`(`", {"("})
        term = self.sum()
        self.take("`)`", {")"})
        self._depth -= 1
        return term

    def _name(self) -> str:
        return self.take("a counter or a number", {self._next} if _NAME.match(self._next) else {})


def _combined(sign: str, left: Term, right: Term) -> Term:
    return lambda counters: OPERATIONS[sign](left(counters), right(counters))


def _total(counted: Number | Sequence[Number]) -> Number:
    return sum(counted) if isinstance(counted, Sequence) else counted


def _single(name: str, counted: Number | Sequence[Number]) -> Number:
    if isinstance(counted, Sequence):
        raise LawError(f"{name} has one number for each input.", advice=f"Write sum({name}).")
    return counted
