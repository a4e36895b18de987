"""Labels of a task, by which pages group: year and period of its data, and who submitted it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_YEAR = 9999
MAX_CHARACTERS = 100


def described_by(parameters: Mapping[str, object], who: str) -> dict[str, Any]:
    """Return the labels of a task with these parameters; None and "" where a parameter is not there, or is no year.

    `who` is a signature of the audit trail, such as `person:maria`.
    """
    year = str(parameters.get("year", ""))
    return {
        "year": int(year) if year.isascii() and year.isdigit() and int(year[:5]) <= MAX_YEAR else None,
        "period": str(parameters.get("period", ""))[:MAX_CHARACTERS],
        "submitter": who.rpartition(":")[2],
    }
