"""Reading logs while the payload runs: the slices follow the speed of reading."""

from __future__ import annotations

from typing import Any

import pytest

from pilotext.rules.loader import load_rules
from pilotext.worker.payload import log_scan
from pilotext.worker.payload.log_scan import READ_WITHIN_S, GuardedScan
from tests.support.jobs import make_job

pytestmark = pytest.mark.unit


class EndlessScan:
    """A stand-in for LogScan over a log without end that is read at a given speed, by a clock of its own."""

    now_s = 0.0
    s_per_byte = 0.0

    def __init__(self, *_args: Any, **_options: Any) -> None:
        self.asked: list[int] = []

    def read(self, size: int) -> int:
        self.asked.append(size)
        EndlessScan.now_s += size * self.s_per_byte
        return size


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> GuardedScan:
    monkeypatch.setattr(log_scan, "LogScan", EndlessScan)
    monkeypatch.setattr("pilotext.worker.payload.log_scan.time.monotonic", lambda: EndlessScan.now_s)
    return GuardedScan(load_rules("COMPASS"), make_job(), {})


def read_once(scan: GuardedScan, s_per_byte: float) -> float:
    """Seconds by the stand-in's clock that one look takes."""
    EndlessScan.s_per_byte = s_per_byte
    began = EndlessScan.now_s
    scan._read_slices()
    return EndlessScan.now_s - began


def test_a_slow_log_is_read_in_small_slices_so_that_limits_are_looked_at(scan: GuardedScan) -> None:
    for _ in range(10):
        read_once(scan, 1e-9)
    assert scan._slice_bytes == 4 << 20
    for _ in range(10):
        lasts_s = read_once(scan, 1e-6)
    assert lasts_s <= READ_WITHIN_S + 0.1


def test_a_fast_log_is_read_in_large_slices(scan: GuardedScan) -> None:
    read_once(scan, 1e-6)
    for _ in range(10):
        read_once(scan, 1e-9)
    assert scan._slice_bytes == 4 << 20
