from __future__ import annotations

import pytest

from pilotext.model.codes import BLOCKS, Code, Exit


def test_a_code_has_a_form_for_people_and_one_for_panda() -> None:
    code = Code("COMPASS", 58, 1241)
    assert (code.label, code.number) == ("COMPASS-1241", 581241)


def test_a_number_outside_every_block_is_refused() -> None:
    with pytest.raises(ValueError, match="in none of the blocks"):
        Code("COMPASS", 58, 1100)


def test_a_number_that_does_not_fit_pandas_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="7 digits"):
        Code("BIG", 1000, 1241)


def test_the_blocks_do_not_overlap() -> None:
    numbers = [number for block in BLOCKS.values() for number in block]
    assert len(numbers) == len(set(numbers))


def test_no_exit_status_has_a_meaning_of_the_pilots() -> None:
    assert {0} | set(range(64, 71)) == set(Exit)
