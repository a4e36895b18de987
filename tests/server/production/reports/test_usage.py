"""Columns of attempts that are filled from kept reports, of this version or not."""

from __future__ import annotations

import pytest

from pilotext.server.production.reports.usage import COLUMNS, columns_of_kept

KEPT = """{"usage": {"wall_s": 60.0, "cpu_s": 50.0, "peak_memory_mb": 900.0},
           "verdict": {"counters": {"events_processed": 7.0}}}"""


def test_a_kept_report_fills_the_columns() -> None:
    columns = columns_of_kept(KEPT)
    assert set(columns) == {*COLUMNS}
    assert (columns["wall_s"], columns["cpu_s"], columns["peak_memory_mb"], columns["events"]) == (60.0, 50.0, 900.0, 7)


@pytest.mark.parametrize("kept", ['{"usage": []}', KEPT[:-5], "", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_report_of_another_version_or_a_damaged_one_fills_none(kept: str | bytes) -> None:
    assert columns_of_kept(kept) == dict.fromkeys(COLUMNS)
