"""Packing of files into merge groups: a pure function of their order and sizes."""

from __future__ import annotations

from collections.abc import Iterable

from pilotext.model import Record


class Piece(Record, frozen=True):
    """A file to be merged: the id of its output, and its size in bytes."""

    output: int
    size: int


def pack(pieces: Iterable[Piece], *, limit: float, files: int | None = None) -> list[list[Piece]]:
    """Groups in the order of `pieces`, each of at most `limit` bytes and `files` files; none is empty.

    A single file above the limit is a group of its own, wherever it stands.
    """
    groups: list[list[Piece]] = []
    size = 0
    for piece in pieces:
        full = not groups or size + piece.size > limit or (files is not None and len(groups[-1]) >= files)
        if full:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += piece.size
    return groups
