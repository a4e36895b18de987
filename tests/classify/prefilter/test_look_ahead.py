from __future__ import annotations

import threading

import pytest

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter.hyperscan import MIN_HYPERSCAN_BYTES
from pilotext.classify.prefilter.selector import LookAhead


def block(number: int, *, large: bool = True) -> Block:
    return Block(number, 0, b"%d\n" % number + b"x\n" * (MIN_HYPERSCAN_BYTES if large else 1))


def look(one: Block) -> list[int]:
    return [one.number]


def numbers(given: object) -> list[int]:
    return [one.number for one, seen in given if seen == [one.number]]  # type: ignore[attr-defined]


def test_blocks_come_back_in_order_each_with_what_was_seen_in_it() -> None:
    ahead = LookAhead(look)
    given = [number for each in range(6) for number in numbers(ahead.ahead(block(each)))]
    assert given + numbers(ahead.rest()) == [0, 1, 2, 3, 4, 5]


def test_a_small_block_waits_for_no_thread_and_comes_after_those_before_it() -> None:
    ahead = LookAhead(look)
    assert numbers(ahead.ahead(block(0))) == []
    assert numbers(ahead.ahead(block(1, large=False))) == [0, 1]


def test_a_large_block_is_looked_at_in_another_thread() -> None:
    seen: set[int] = set()
    ahead = LookAhead(lambda one: [seen.add(threading.get_ident()) or one.number])  # type: ignore[func-returns-value]
    [*ahead.ahead(block(0)), *ahead.rest()]
    assert seen != {threading.get_ident()}


def test_a_look_that_fails_fails_where_its_block_is_asked_for() -> None:
    def broken(one: Block) -> list[int]:
        raise MemoryError

    ahead = LookAhead(broken)
    [*ahead.ahead(block(0))]
    with pytest.raises(MemoryError):
        [*ahead.rest()]
