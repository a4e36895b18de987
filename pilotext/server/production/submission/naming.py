"""The names that a task will publish: expanded for each of its jobs, runs, copies and archives before it is stored.

A name is kept as a key, 64 bits of the BLAKE2b digest of its canonical URL: two different names have the same key once
in 10^11 submissions to a table of 10^8 names, and then the later one is refused.
"""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pilotext.errors import UsageError
from pilotext.profile.job_builder import EventRange, TaskFacts, input_values
from pilotext.profile.places import PublishedPlace, archive_places, merged_places, output_forms
from pilotext.profile.records import Experiment
from pilotext.profile.templates import Value
from pilotext.storage.registry import why_unusable
from pilotext.storage.urls import XROOTD, canonical, is_folder, join, scheme_of

Values = Mapping[str, Value]

MAX_NAME_BYTES = 200
"""File systems take 255 for a name; a file on its way has a longer one."""


def key_of(url: str) -> int:
    """The key of a name, equal for all spellings of its URL: a signed integer of 64 bits."""
    return _digest(_spelling(url))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


def _spelling(url: str) -> str:
    plain = url.partition("?")[0] if scheme_of(url) in XROOTD else url
    folder, _, name = plain.rpartition("/")
    return f"{_canonical_folder(folder)}/{name}"


@functools.lru_cache(maxsize=4096)
def _canonical_folder(folder: str) -> str:
    return canonical(folder)


def url_of(place: PublishedPlace) -> str:
    """URL at which a file is published; of a form, the form of the URL."""
    return join(place.destination, place.name) if is_folder(place.destination) else place.destination


@dataclass(frozen=True)
class NameForms:
    """The URLs of a production job's outputs, as forms of what its input says."""

    urls: tuple[str, ...]

    @classmethod
    def of(cls, experiment: Experiment, facts: TaskFacts) -> NameForms:
        return cls(tuple(dict.fromkeys(url_of(place) for place in output_forms(experiment, facts))))

    @functools.cached_property
    def _spellings(self) -> tuple[str, ...] | None:
        """The same as they are digested, where the folder is that of all jobs: printing it took most of the time."""
        fixed = all(
            "{" not in form.rpartition("/")[0] and "?" not in form and "{file}" not in form for form in self.urls
        )
        return tuple(map(_spelling, self.urls)) if fixed else None

    def print(self, values: Values) -> list[str]:
        """The URLs of one job. Raises UsageError when its values cannot be printed so."""
        return _printed(self.urls, values)

    def keys(self, values: Values) -> list[int]:
        """Their keys. Raises UsageError."""
        spellings = self._spellings
        if spellings is None or any("?" in word for word in values.values() if type(word) is str):
            return [key_of(url) for url in self.print(values)]
        return [_digest(text) for text in _printed(spellings, values)]


def _printed(forms: Iterable[str], values: Values) -> list[str]:
    try:
        return [form.format_map(values) for form in forms]
    except (KeyError, ValueError) as error:
        raise UsageError(f"its outputs have no name: {error}.") from None


@dataclass
class JobNames:
    """The keys of all production jobs of a task, those of one job after those of another, each key once."""

    forms: NameForms
    keys: array[int] = field(default_factory=lambda: array("q"))
    _taken: set[int] = field(default_factory=set)

    def add(self, values: Values) -> str:
        """Take the names of the next job; if an earlier one has one of them, take none and return that."""
        keys = self.forms.keys(values)
        if not self._taken.isdisjoint(keys):
            return next(url for url in self.forms.print(values) if key_of(url) in self._taken)
        self._taken.update(keys)
        self.keys.extend(keys)
        return ""

    def of_job(self, index: int) -> Sequence[int]:
        """The keys of the job that was taken as number `index`, from 0."""
        each = len(self.forms.urls)
        return self.keys[index * each : (index + 1) * each]


def values_of(
    experiment: Experiment, facts: TaskFacts, file: str, event_range: EventRange | None = None
) -> dict[str, Value]:
    """Return the values of an input that a form of a name may use.

    Raises UsageError for a file that is not an input of this type.
    """
    values = input_values(experiment, facts, file, event_range)
    if "{" in file or "}" in file:
        raise UsageError("it contains a brace, which marks a value in a template.")
    return values


def shared_places(
    experiment: Experiment, facts: TaskFacts, runs: Iterable[int], merges: Iterable[str]
) -> list[PublishedPlace]:
    """Return the places of all that is published of runs and of the task as a whole.

    Raises UsageError when a value is missing for one of them.

    Of merged files only the first of each run: how many there will be is known when they are merged.
    """
    found: list[PublishedPlace] = []
    for run in runs:
        for merge in merges:
            found += merged_places(experiment, facts, merge, run=run, number=0)
        found += archive_places(experiment, facts, run=run)
    found += archive_places(experiment, facts, run=None)
    return found


def check_urls(urls: Iterable[str]) -> None:
    """Raise UsageError for the first URL that nothing could be published at."""
    for url in urls:
        if problem := why_unusable(url) or _why_no_path(url):
            raise UsageError(f"{url!r} cannot be published at: {problem}")


def _why_no_path(url: str) -> str:
    words = url.partition("?")[0].split("/")
    if ".." in words:
        return "its path goes back by `..`, which storage systems refuse."
    if longest := [word for word in words if len(word.encode("utf-8", "replace")) > MAX_NAME_BYTES]:
        return f"the name {longest[0][:20]!r}... is longer than {MAX_NAME_BYTES} bytes, with room for a temporary one."
    return ""


def double(places: Iterable[PublishedPlace]) -> Iterator[tuple[PublishedPlace, PublishedPlace]]:
    """Pairs of places that are one: a task must not write one of its files over another."""
    seen: dict[int, PublishedPlace] = {}
    for place in places:
        key = key_of(url_of(place))
        if (other := seen.setdefault(key, place)) is not place:
            yield other, place
