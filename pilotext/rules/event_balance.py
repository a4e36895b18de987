"""Event balance of a job: a comparison between counters that holds if no event was lost.

It is the value of the key `law` and of conditions on `events`: `events_processed + events_skipped == raw_events`, made
of names of counters, numbers, `+ - *`, parentheses, and one comparison `==`, `<=` or `>=`. `sum(inputs.events)` is for
a counter that has one number for each input.
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
"""Predicates on the difference of the sides (left minus right) and the allowed slack."""
OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
MAX_NESTING = 20
"""Parentheses within parentheses."""
MAX_CHARS = 500

_TOKEN = re.compile(r"\d{1,30}(?:\.\d+)?|[A-Za-z_][\w.]*|[=<>]=|\S")
_NAME = re.compile(r"[A-Za-z_]")


class EventBalanceError(UsageError, ValueError):
    """The event balance cannot be read or computed; the message says where and why."""


@dataclass(frozen=True)
class EventBalance:
    """Parsed event balance: its sides as text and as functions, and the counters that it needs."""

    sides: tuple[str, str]
    terms: tuple[Term, Term]
    comparison: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class BalanceResult:
    """Result of a check: whether the balance holds, and a sentence with the numbers."""

    holds: bool
    sentence: str


def parse(text: str) -> EventBalance:
    """Parse an event balance. Raises EventBalanceError with the column and the expected token."""
    parser = _Parser(text)
    left = parser.sum()
    begin, comparison, end = parser.place, parser.take("one of == <= >=", COMPARISONS), parser.place
    right = parser.sum()
    parser.take("nothing more", {""})
    return EventBalance((text[:begin].strip(), text[end:].strip()), (left, right), comparison, tuple(parser.names))


def slack(tolerance: str | float, size: Number) -> Number:
    """Return the allowed difference: a number or a percentage of `size`. Raises EventBalanceError for anything else."""
    text = str(tolerance).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise EventBalanceError(f"{text!r} is not a tolerance.") from None
    if not 0 <= number < float("inf"):
        raise EventBalanceError(f"{text!r} is not a tolerance.")
    return number * abs(size) / 100 if text.endswith("%") else number


def check(text: str, counters: Counters, tolerance: str | float = 0) -> BalanceResult:
    """Check an event balance with the counters; percentages of `tolerance` are of its right side.

    A missing counter breaks it: then nothing proves it. Raises EventBalanceError if it cannot be parsed.
    """
    balance = parse(text)
    missing = [name for name in balance.names if name not in counters]
    if missing:
        known = ", ".join(sorted(counters)) or "nothing"
        return BalanceResult(False, f"{text}: not counted: {', '.join(missing)}; counted: {known}")
    values = [term(counters) for term in balance.terms]
    holds = COMPARISONS[balance.comparison](values[0] - values[1], slack(tolerance, values[1]))
    sides = [f"{side} is {value}" for side, value in zip(balance.sides, values, strict=True) if side != str(value)]
    facts = [f"{name} {counters[name]}" for name in balance.names if name not in balance.sides]
    numbers = " and ".join(sides) + (f" ({', '.join(facts)})" if facts else "")
    return BalanceResult(holds, f"{text}: {'holds' if holds else 'broken'}, {numbers}")


class _Parser:
    """Recursive-descent parser; each method reads one grammar element and returns the function that computes it."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise EventBalanceError(f"the event balance is longer than {MAX_CHARS} characters.")
        self._text = text
        self._tokens = [*_TOKEN.finditer(text)]
        self._depth = 0
        self._names: dict[str, None] = {}

    @property
    def names(self) -> Collection[str]:
        """Counters read so far, each once."""
        return self._names.keys()

    @property
    def place(self) -> int:
        """Position of the next token."""
        return self._tokens[0].start() if self._tokens else len(self._text)

    def take(self, expected: str, among: Collection[str]) -> str:
        """Take the next token. Raises EventBalanceError if it is not among those allowed here."""
        token = self._next
        if token not in among:
            found = f"{token!r} at column {self.place + 1}" if token else "its end"
            raise EventBalanceError(f"the event balance {self._text!r} has {found} where {expected} must stand.")
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
        if self._depth > MAX_NESTING:
            raise EventBalanceError(
                f"the event balance {self._text!r} has more than {MAX_NESTING} parentheses within each other."
            )
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
        raise EventBalanceError(f"{name} has one number for each input.", advice=f"Write sum({name}).")
    return counted
