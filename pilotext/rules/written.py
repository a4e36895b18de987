"""Rules as written: former names of fields, which one release still reads, and fragments of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pilotext.errors import did_you_mean
from pilotext.model.job import KINDS
from pilotext.rules.schema import RuleFile

FORMER = {"diag": "message"}
"""Former names of fields of a rule."""

FRAGMENT = re.compile(r"%\{([\w-]+)\}")

Found = tuple[tuple[str | int, ...], str, str]
"""Steps to a value of an entry, the problem and its remedy."""


def as_of_today(item: Any, fragments: Mapping[str, str]) -> Any:
    """Return an entry with today's names of its fields and with the fragments in its patterns."""
    if not isinstance(item, dict):
        return item
    new = {FORMER.get(key, key): value for key, value in item.items()}
    if isinstance(new.get("unless"), list):
        new["unless"] = _unless(new["unless"])
    if isinstance(new.get("match"), str):
        new["match"] = FRAGMENT.sub(lambda found: fragments.get(found[1], found[0]), new["match"])
    if isinstance(new.get("any"), list):
        new["any"] = [as_of_today(form, fragments) for form in new["any"]]
    return new


def former_names(item: Any, steps: tuple[str | int, ...] = ()) -> Iterator[Found]:
    """Yield the former names and forms in an entry."""
    if not isinstance(item, dict):
        return
    for old, name in FORMER.items():
        if old in item:
            yield (*steps, old), f"`{old}` is now called `{name}`.", "Rename it: the next release does not read it."
    if isinstance(item.get("unless"), list):
        advice = f"Write `unless: {_flow(_unless(item['unless']))}`: the next release does not read the list."
        yield (*steps, "unless"), "`unless` is now a mapping that says what each word is.", advice
    for index, form in enumerate(item.get("any") or ()):
        yield from former_names(form, (*steps, "any", index))


def unknown_fragments(item: Any, header: RuleFile) -> Iterator[Found]:
    """Yield the fragments that a pattern of an entry names and its file does not have."""
    if not isinstance(item, dict):
        return
    forms = item.get("any")
    parts = [
        ((), item),
        *((("any", index), form) for index, form in enumerate(forms if isinstance(forms, list) else ())),
    ]
    for steps, part in parts:
        pattern = part.get("match") if isinstance(part, dict) else None
        for name in FRAGMENT.findall(pattern) if isinstance(pattern, str) else ():
            if name not in header.fragments:
                advice = did_you_mean(name, header.fragments, otherwise="Add it to `fragments` of this file.")
                yield (*steps, "match"), f"there is no fragment {name!r}.", advice


def _unless(words: list[Any]) -> dict[str, Any]:
    """Return the former list by fields; a word that may be a rule or a type of jobs is both."""
    magic = {word: True for word in words if word in ("good-end", "checked-end", "alone")}
    names = [word for word in words if word not in magic]
    rules = [word for word in names if word not in KINDS]
    return {**magic, **({"rules": rules} if rules else {}), **({"jobs": names} if names else {})}


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return "true" if value is True else str(value)
