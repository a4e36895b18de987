"""Lines that a terminal, a mailer or a batch system broke after 80 columns, joined again.

A stream is taken for wrapped while none of its lines is longer than 80 bytes and a line of exactly 80 bytes, which is
no ruler (`=====`), is in its first MiB with text behind it. A joined line stands in the place of its first part and
empty lines in those of the others, so that numbers and offsets stay those of the original bytes. What is found in
joined lines counts beside what is found in the lines as they are: a line may have 80 bytes by chance.
"""

from __future__ import annotations

import re

from pilotext.classify.cleaning import Block

COLUMNS = 80
MAX_PARTS = 50
"""Parts of one line; more lines of 80 bytes in a row are a table."""

DECIDED_AFTER_BYTES = 1 << 20

_LONGER = re.compile(rb"^[^\n]{%d}" % (COLUMNS + 1), re.MULTILINE)
_PART = rb"[^\n]{%d}(?![^\n]*([^\n])\1{3}\n)[^\n]{4}\n" % (COLUMNS - 4)
_FULL = re.compile(rb"^" + _PART + rb"(?=[^\n])", re.MULTILINE)
_WRAPPED = re.compile(rb"^(?:[^\n]{%d}\n){1,%d}[^\n]+" % (COLUMNS, MAX_PARTS - 1), re.MULTILINE)
_FULL_AT_END = re.compile(rb"(?:^[^\n]{%d}\n){1,%d}\Z" % (COLUMNS, MAX_PARTS), re.MULTILINE)


class Unwrapper:
    """Unwrapped form of a stream's blocks, as long as the stream may be wrapped."""

    def __init__(self) -> None:
        self.may_be_wrapped = True
        self._is_wrapped = False
        self._rest: Block | None = None
        """Full lines at the end of the last block, whose end is still to come."""

    def feed(self, block: Block) -> Block | None:
        """Return the block with its lines joined, without those that may go on; None if there is nothing to look at."""
        if not self.may_be_wrapped:
            return None
        if _LONGER.search(block.cleaned):
            self.may_be_wrapped = False
            return None
        if self._rest is not None:
            block = Block(self._rest.number, self._rest.offset, self._rest.raw + block.raw)
            self._rest = None
        if found := _FULL_AT_END.search(block.cleaned):
            block, self._rest = block.cut(block.number_at(found.start()))
        return self._joined(block) if block.raw else None

    def close(self) -> Block | None:
        """Return the last lines, which nothing has followed."""
        rest, self._rest = self._rest, None
        return self._joined(rest) if rest is not None and self.may_be_wrapped else None

    def _joined(self, block: Block) -> Block | None:
        if not self._is_wrapped:
            full = _FULL.search(block.cleaned)
            first = block.line(block.end - 1 if full is None else block.number_at(full.start()))
            self._is_wrapped = full is not None
            self.may_be_wrapped = first.offset <= DECIDED_AFTER_BYTES
        if not (self._is_wrapped and self.may_be_wrapped):
            return None
        return Block(block.number, block.offset, block.raw, _WRAPPED.sub(_join, block.cleaned))


def _join(found: re.Match[bytes]) -> bytes:
    parts = found[0].split(b"\n")
    return b"".join(parts) + b"\n" * (len(parts) - 1)
