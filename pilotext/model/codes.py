"""Numbers that leave the house: an experiment's error codes, and the exit statuses of `pilotext run`.

A code is four digits with the experiment's CERN number in front, so that no two experiments, and no experiment and the
pilot, can mean different things by one number: COMPASS is NA58, its 1241 is `COMPASS-1241` and 581241.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

# First and last code of each block, and whose it is. Retired codes stay taken: a number never changes its meaning.
BLOCKS = {
    "experiment": range(1200, 1300),
    "common": range(2000, 3000),
    "staging": range(3000, 4000),
    "validation": range(4000, 5000),
    "wrapper": range(5000, 6000),
}

LARGEST_NUMBER = 9_999_999
"""PanDA keeps error codes in columns of 7 digits (NUMBER(7), table JOBSACTIVE4)."""


@dataclass(frozen=True)
class Code:
    """One error code of one experiment, for example `Code("COMPASS", 58, 1241)`."""

    experiment: str
    prefix: int
    digits: int

    def __post_init__(self) -> None:
        if not any(self.digits in block for block in BLOCKS.values()):
            blocks = ", ".join(f"{name} {block.start}-{block.stop - 1}" for name, block in BLOCKS.items())
            raise ValueError(f"code {self.digits} is in none of the blocks: {blocks}")
        if self.prefix <= 0 or self.number > LARGEST_NUMBER:
            raise ValueError(f"experiment number {self.prefix}: with four digits behind it, it must fit 7 digits")

    @property
    def label(self) -> str:
        """The form for people and diags, `COMPASS-1241`."""
        return f"{self.experiment}-{self.digits}"

    @property
    def number(self) -> int:
        """The form for PanDA's integer columns, 581241."""
        return self.prefix * 10_000 + self.digits


class Exit(IntEnum):
    """Exit statuses of `pilotext run`.

    The pilot gives meanings of its own to 2, 3 and 251, reports 255 as 0, and takes numbers above 127 for signals
    (pilot3 `errorcodes.py:resolve_transform_error`, `payload.py:execute_payloads`), so none of those is used.
    """

    SUCCESS = 0
    USAGE = 64
    STAGE_IN_FAILED = 65
    PAYLOAD_FAILED = 66
    VALIDATION_FAILED = 67
    STAGE_OUT_FAILED = 68
    STOPPED = 69
    """A limit was exceeded, or somebody ended the job."""
    INTERNAL = 70
