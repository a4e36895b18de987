"""Text from anywhere, made fit for a terminal.

Logs, nodes, tasks and files are named by others. A control character, an 8-bit control (C1), a sign that turns the
direction of writing, or a newline in one of them must not steer the terminal or look like a line of ours: each is shown
as its escape (`\\x1b`, `\\u202e`, `\\n`). Everything that pilotext prints goes through these functions.
"""

from __future__ import annotations

import re

# As what they are not: a set of all characters to the last one takes fifty times as long to compile.
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_NOT_PLAIN_IN_LINES = re.compile(r"[^\t\n\x20-\x7e]")
"""Characters that have to be looked at; tabs and newlines stay where there are lines."""


def one_line(text: str) -> str:
    """The text as one line of printable characters: for a cell, a name, a quoted line."""
    return _NOT_PLAIN.sub(_shown, text)


def printable(text: str) -> str:
    """The text as lines of printable characters: its own newlines and tabs stay."""
    return _NOT_PLAIN_IN_LINES.sub(_shown, text)


def printable_json(document: bytes) -> bytes:
    """The same JSON document with everything escaped that does not print."""
    return _NOT_PLAIN_IN_LINES.sub(_escaped, document.decode()).encode()


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
