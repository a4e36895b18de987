"""Patterns that ask for what no cleaned line holds: control characters, as CORAL's bell, which no screen shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pilotext.errors import Problem
from pilotext.rules.checks import Group, patterns_in

_SET = re.compile(r"(?<!\\)((?:\\\\)*)\[\^?\]?(?:\\.|[^\]\\])*\]")
"""A set may hold such a character among others, and mostly by a range."""

_UNPRINTED = re.compile(
    r"(?<!\\)(?:\\\\)*(?P<what>\\(?:[aefrv]|x(?:0[0-8b-fB-F]|1[0-9a-fA-F]|7[fF]))|[\x00-\x08\x0b-\x1f\x7f])(?![?*])"
)


def unprinted_characters(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        if found := _UNPRINTED.search(_SET.sub(r"\1x", pattern)):
            what = found["what"].encode("unicode_escape").decode() if len(found["what"]) == 1 else found["what"]
            message = f"`{what}` is never found: control characters are taken out of a line before it is looked at."
            yield entry.problem(field, message, "Leave it out.")
