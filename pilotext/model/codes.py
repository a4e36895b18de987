"""Numbers that other systems get: an experiment's error codes, and the exit statuses of `pilotext run`.

A code is four digits with the experiment's CERN number in front, so that no two experiments, and no experiment and the
pilot, can mean different things by one number: SHINE is NA61, its 1241 is `SHINE-1241` and 611241.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

# First and last code of each block, and whose it is. Retired codes stay taken: a number never changes its meaning.
BLOCKS = {
    "common": range(2000, 3000),
    "staging": range(3000, 4000),
    "validation": range(4000, 5000),
    "wrapper": range(5000, 6000),
}
"""Codes of the rules of every experiment, by the file that they stand in."""

FREE_BLOCKS = (range(1000, 2000), range(6000, 10_000))
"""Codes of which a profile takes its experiment's own."""

DEFAULT_CODES = "1200-1299"
"""Codes of an experiment whose profile does not say which."""

_RANGE = re.compile(r"([0-9]{4})-([0-9]{4})")


def code_range(text: str) -> range:
    """Return the codes that a text such as `1200-1299` gives an experiment. Raises ValueError with what is wrong."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not the first and last of some codes, such as {DEFAULT_CODES}")
    codes = range(int(found[1]), int(found[2]) + 1)
    if not any(codes and codes[0] in block and codes[-1] in block for block in FREE_BLOCKS):
        raise ValueError(f"the codes {text} are not within {_named(FREE_BLOCKS)}")
    return codes


def _named(blocks: Iterable[range]) -> str:
    return " or ".join(f"{block.start}-{block.stop - 1}" for block in blocks)


LARGEST_NUMBER = 9_999_999
"""PanDA keeps error codes in columns of 7 digits (NUMBER(7), table JOBSACTIVE4)."""


@dataclass(frozen=True)
class Code:
    """One error code of one experiment, for example `Code("SHINE", 61, 1241)`."""

    experiment: str
    prefix: int
    digits: int

    def __post_init__(self) -> None:
        if not any(self.digits in block for block in (*FREE_BLOCKS, *BLOCKS.values())):
            blocks = ", ".join(f"{name} {_named([block])}" for name, block in BLOCKS.items())
            blocks = f"experiment {_named(FREE_BLOCKS)}, {blocks}"
            raise ValueError(f"code {self.digits} is in none of the blocks: {blocks}")
        if self.prefix <= 0 or self.number > LARGEST_NUMBER:
            raise ValueError(f"experiment number {self.prefix}: with four digits behind it, it must fit 7 digits")

    @property
    def label(self) -> str:
        """The form for people and diags, `SHINE-1241`."""
        return f"{self.experiment}-{self.digits}"

    @property
    def number(self) -> int:
        """The form for PanDA's integer columns, 611241."""
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
