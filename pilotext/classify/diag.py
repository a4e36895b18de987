"""The one sentence that travels to the pilot and the production system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pilotext.classify.sighting import Sighting
from pilotext.model.verdict import Evidence

LONGEST = 256
"""PanDA's columns for diagnostics hold no more."""

LONGEST_PLACE = 60
_FIELD = re.compile(r"\{(\w+)\}")


def sentence(sighting: Sighting) -> str:
    """The rule's sentence with its fields; where one of them was not seen, its title; for a finding, the facts."""
    text = sighting.rule.text
    fields = sighting.fields
    if text.diag and all(name in fields for name in _FIELD.findall(text.diag)):
        return _FIELD.sub(lambda found: str(fields[found[1]]), text.diag)
    return str(fields.get("text") or text.title)


def place(evidence: Iterable[Evidence]) -> str:
    """Where to look, `stderr:812`; empty if nothing stands in a line of a stream."""
    first = next((one for one in evidence if one.line), None)
    if first is None:
        return ""
    line = f":{first.line}"
    return first.stream[: LONGEST_PLACE - len(line)] + line


def compose(key: str, said: str, where: str) -> str:
    """`COMPASS-1241 cannot-allocate: <sentence> (stderr:812)`: ASCII, one line, cut within the sentence."""
    tail = f" ({_plain(where)})" if where else ""
    head = f"{_plain(key)}: "[: LONGEST - len(tail)]
    room = LONGEST - len(head) - len(tail)
    return f"{head}{one_line(said, room)}{tail}"


def one_line(text: str, longest: int) -> str:
    """The text as printable ASCII in one line, cut if it has more letters than that."""
    plain = _plain(text)
    return plain if len(plain) <= longest else f"{plain[: max(0, longest - 3)].rstrip()}..."[:longest]


def _plain(text: str) -> str:
    printable = "".join(letter if letter.isprintable() or letter.isspace() else "?" for letter in text)
    return " ".join(printable.encode("ascii", "replace").decode().split())


def fields_of(parts: Iterable[Mapping[str, str | int | float]]) -> dict[str, str | int | float]:
    """All fields of several sightings of a rule; the first that has a field says what it is."""
    together: dict[str, str | int | float] = {}
    for part in parts:
        together = {**part, **together}
    return together
