"""Preparing a process of the server."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pilotext.server import boot


@pytest.fixture
def thresholds() -> Iterator[None]:
    """Python's own thresholds, with nothing left out of the collections; as before afterwards."""
    before = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.freeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("thresholds")
def test_what_is_loaded_is_left_out_of_collections_which_become_seldom() -> None:
    boot.collect_garbage_less_often()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == boot.GC_THRESHOLDS[0]


@pytest.mark.usefixtures("thresholds")
def test_cycles_that_are_made_later_are_still_collected() -> None:
    boot.collect_garbage_less_often()
    collected = gc.get_stats()[0]["collections"]
    for _ in range(2 * boot.GC_THRESHOLDS[0]):
        cycle: list[object] = []
        cycle.append(cycle)
    assert gc.get_stats()[0]["collections"] > collected
