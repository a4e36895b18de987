from __future__ import annotations

import pytest

from pilotext.model.codes import BLOCKS, FREE_BLOCKS, Code, Exit, code_range


def test_a_code_has_a_form_for_people_and_one_for_panda() -> None:
    code = Code("COMPASS", 58, 1241)
    assert (code.label, code.number) == ("COMPASS-1241", 581241)


def test_a_number_outside_every_block_is_refused() -> None:
    with pytest.raises(ValueError, match="in none of the blocks"):
        Code("COMPASS", 58, 999)


def test_a_range_of_codes_is_its_first_and_its_last() -> None:
    assert code_range("1200-1299") == range(1200, 1300)
    assert code_range("6000-6000") == range(6000, 6001)


@pytest.mark.parametrize("text", ["1200", "1200-", "12-13", "1299-1200", "1900-2000", "2000-2100", "1000-6000"])
def test_a_range_that_is_none_or_not_an_experiments_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="codes"):
        code_range(text)


def test_a_number_that_does_not_fit_pandas_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="7 digits"):
        Code("BIG", 1000, 1241)


def test_the_blocks_do_not_overlap() -> None:
    numbers = [number for block in (*FREE_BLOCKS, *BLOCKS.values()) for number in block]
    assert len(numbers) == len(set(numbers))


def test_no_exit_status_has_a_meaning_of_the_pilots() -> None:
    assert {0} | set(range(64, 71)) == set(Exit)
