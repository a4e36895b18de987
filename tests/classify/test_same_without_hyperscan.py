"""Hyperscan and the counting of floods make it quick; what is seen must not depend on either, nor on the reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify import matching
from pilotext.classify.matching import StreamCondition, StreamMatcher
from pilotext.classify.prefilter import flood as flood_module
from pilotext.classify.prefilter import hyperscan as hyperscan_module
from pilotext.classify.prefilter import selector as selector_module
from pilotext.classify.rule_match import RuleMatch
from pilotext.rules.schema import CounterText, Rule
from tests.classify.inline import counter, rule

PATTERNS = [
    r"^(?:\S+: )?Killed(?: {2,}(?<command>.*)| *)$",
    r"(?i)abort\w*",
    r"[^:]+: not found",
    r"Lattice:\s+Cannot\D*(?<bytes>\d+)",
    r"(?<!not )Killed",
    r"^\d+$",
    "caf(?:é|\\\\xe9)",
]
PARTS = [
    b"sh: ",
    b"Killed",
    b"Killed   x",
    b"ABORT",
    b"\xc5\xbfabort",
    b": not found",
    b"Lattice:\x07 Cannot 12",
    b"caf\xe9",
]
SEPARATORS = [b"\n", b"\n", b"\n", b"\r\n", b"\r", b" ", b"\x1b[31m", b"\0", b"not "]
LOGS = st.lists(st.tuples(st.sampled_from([*PARTS, b"12", b""]), st.sampled_from(SEPARATORS), st.integers(1, 9))).map(
    lambda pieces: b"".join((part + separator) * times for part, separator, times in pieces)
)
SPANS = st.sampled_from([1, 1, 1, 2, 3])
ACTIONS = st.sampled_from(["retry", "note"])
EXPLAINED = st.lists(st.sampled_from(["rule-0", "rule-1", "rule-2"]), max_size=2)


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    chosen = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4))
    written = [
        rule(f"rule-{index}", match=pattern, lines=draw(SPANS), action=draw(ACTIONS), explains=draw(EXPLAINED))
        for index, pattern in enumerate(chosen)
    ]
    return [*written, rule("literal", contains=draw(st.sampled_from(["Killed", "abort", ": not"])))]


COUNTERS = [
    counter("last", r"(?<n>\d+)"),
    counter("first", r"Cannot (?<n>\d+)", take="first"),
    counter("sum", r"Lattice: *Cannot (?<n>\d+)", take="sum"),
    counter("count", "Killed", take="count"),
]

Seen = tuple[list[RuleMatch], dict[str, int | float | None], list[str]]


def seen(chunks: Sequence[bytes], rules: Sequence[Rule], counters: Sequence[CounterText] = COUNTERS) -> Seen:
    watches = [StreamCondition("stderr", one, condition) for one in rules for condition in one.conditions]
    matcher = StreamMatcher("stderr", watches, counters)
    for chunk in chunks:
        matcher.feed(chunk)
    matcher.close()
    values = {count.text.name: count.value for count in matcher.counts}
    return [watch.rule_match() for watch in watches if watch.count], values, [line.text for line in matcher.end().tail]


@contextmanager
def engine(*, large: int, flood: int, hyperscan: bool = True, narrow: bool = False) -> Iterator[None]:
    """Set the sizes from which on data are large and lines a flood; with `narrow`, patterns are compiled at once."""
    with pytest.MonkeyPatch.context() as patch:
        if narrow:
            patch.setattr(selector_module, "PATTERNS_AFTER_BYTES", 1)
            patch.setattr(selector_module, "FREQUENT_BLOCKS", 1)
        patch.setattr(hyperscan_module, "MIN_HYPERSCAN_BYTES", large)
        patch.setattr(matching, "MIN_FLOOD_LINES", flood)
        patch.setattr(flood_module, "MIN_FLOOD_LINES", flood)
        if not hyperscan:
            patch.setattr(hyperscan_module, "hyperscan", lambda: None)
        yield


@given(LOGS, rules(), st.data())
def test_what_is_seen_depends_on_nothing_but_log_and_rules(log: bytes, rules: list[Rule], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=8)))
    chunks = [log[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    with engine(large=1 << 30, flood=1 << 30, hyperscan=False):
        plain = seen([log], rules)
    for cut in ([log], chunks):
        for narrow in (False, True):
            with engine(large=0, flood=1, narrow=narrow):
                assert seen(cut, rules) == plain
        with engine(large=0, flood=1, hyperscan=False):
            assert seen(cut, rules) == plain


def test_a_flood_is_counted_and_its_first_and_last_lines_are_quoted() -> None:
    log = b"".join(b"sh: 1: x%d: not found\n" % number for number in range(10_000))
    ((rule_match,), _, _) = seen([log[:50_000], log[50_000:]], [rule("missing", match=r"(?<what>[^: ]+): not found")])
    assert rule_match.count == 10_000
    assert [one.line for one in rule_match.evidence] == [1, 2, 3, 10_000]
    assert rule_match.fields == {"what": "x0"}
