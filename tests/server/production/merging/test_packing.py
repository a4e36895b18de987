from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilotext.server.production.merging.packing import Piece, pack


def sizes(groups: list[list[Piece]]) -> list[list[int]]:
    return [[piece.size for piece in group] for group in groups]


def pieces(*given_sizes: int) -> list[Piece]:
    return [Piece(number, size) for number, size in enumerate(given_sizes)]


def test_files_are_packed_in_their_order_up_to_the_limit() -> None:
    assert sizes(pack(pieces(3, 3, 3, 4, 1), limit=9)) == [[3, 3, 3], [4, 1]]


def test_a_first_file_above_the_limit_is_merged_by_itself() -> None:
    """Known problem 16 of the legacy system: it ended the pass for every task."""
    assert sizes(pack(pieces(20, 3, 30, 3), limit=9)) == [[20], [3], [30], [3]]


def test_no_group_has_more_files_than_may_be() -> None:
    assert sizes(pack(pieces(1, 1, 1, 1, 1), limit=100, files=2)) == [[1, 1], [1, 1], [1]]


def test_nothing_is_packed_into_nothing() -> None:
    assert pack([], limit=9) == []


@given(st.lists(st.integers(0, 50)), st.integers(1, 60), st.integers(1, 5) | st.none())
def test_every_file_is_in_one_group_and_no_limit_is_broken(all_sizes: list[int], limit: int, files: int | None) -> None:
    groups = pack(pieces(*all_sizes), limit=limit, files=files)
    assert [piece.output for group in groups for piece in group] == list(range(len(all_sizes)))
    assert all(group for group in groups)
    assert all(len(group) == 1 or sum(piece.size for piece in group) <= limit for group in groups)
    assert files is None or all(len(group) <= files for group in groups)
