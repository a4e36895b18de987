"""Texts with `{name}` in them: printed from values, and file names also parsed back into values."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Collection, Iterator, Mapping

from pilotext.errors import UsageError, did_you_mean

Value = str | int | float

_NUMBER = re.compile(r"0?(?P<width>\d*)d")


@functools.lru_cache(maxsize=4096)
def parts_of(template: str) -> tuple[tuple[str, str | None, str], ...]:
    """(text before, name, format) for each place of a template. Raises UsageError for what is not one."""
    try:
        parts = tuple((text, name, form or "") for text, name, form, _ in string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"{template!r} cannot be read: {error}.", advice="Write {{ and }} for real braces.") from None
    for _, name, form in parts:
        if name is not None and not name.replace(" ", "_").isidentifier():
            raise UsageError(f"{template!r}: {{{name}}} is not a name.")
        if form and not _NUMBER.fullmatch(form):
            raise UsageError(
                f"{template!r}: {{{name}:{form}}} is not a whole number like {{{name}:d}} or {{{name}:05d}}."
            )
    return parts


class Scope:
    """Names that templates may use. A value that is itself a template is printed with the same names.

    Later layers hide earlier ones. `print` raises UsageError for a name that nobody gives, and for names in a circle.
    """

    def __init__(self, *layers: Mapping[str, Value | None]) -> None:
        self._values: dict[str, Value | None] = {}
        for layer in layers:
            self._values.update(layer)
        self._printed: dict[str, str] = {}
        self._open: list[str] = []

    def print(self, template: str) -> str:
        return "".join(self._pieces(template))

    def value(self, name: str) -> str:
        """The text of one name."""
        if name not in self._printed:
            self._printed[name] = self._text(name)
        return self._printed[name]

    def _pieces(self, template: str) -> Iterator[str]:
        for text, name, form in parts_of(template):
            yield text
            if name is not None:
                yield self._number(name, form) if form else self.value(name)

    def _number(self, name: str, form: str) -> str:
        try:
            return format(int(self.value(name)), form)
        except ValueError:
            raise UsageError(f"{{{name}:{form}}} needs a whole number, and {name} is {self.value(name)!r}.") from None

    def _text(self, name: str) -> str:
        value = self._values.get(name)
        if value is None:
            if name in self._values:
                raise UsageError(f"{{{name}}} has no value here.", advice=f"Give `{name}` among the task's parameters.")
            advice = did_you_mean(name, self._values, quoted="{{{}}}")
            raise UsageError(f"nothing is called {{{name}}}.", advice=advice)
        if not isinstance(value, str) or "{" not in value:
            return str(value)
        if name in self._open:
            raise UsageError(f"{{{name}}} is made of itself: {' → '.join([*self._open, name])}.")
        self._open.append(name)
        try:
            return self.print(value)
        finally:
            self._open.pop()


class OpenScope(Scope):
    """Names of which those in `left` stay open: what is printed is a format string with only these in it.

    `print(template).format_map(values)` then is what a `Scope` with the same values in its last layer prints.
    """

    def __init__(self, left: Collection[str], *layers: Mapping[str, Value | None]) -> None:
        super().__init__(*layers)
        self._left = frozenset(left)

    def _pieces(self, template: str) -> Iterator[str]:
        for text, name, form in parts_of(template):
            yield _escaped(text)
            if name is not None:
                yield self._number(name, form) if form else self.value(name)

    def _number(self, name: str, form: str) -> str:
        value = self.value(name)
        if value.startswith("{") and value[1:-1] in self._left:
            return f"{value[:-1]}:{form}}}"
        return super()._number(name, form)

    def _text(self, name: str) -> str:
        if name in self._left:
            return f"{{{name}}}"
        value = self._values.get(name)
        plain = value is not None and not (isinstance(value, str) and "{" in value)
        return _escaped(str(value)) if plain else super()._text(name)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@functools.lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    pattern, seen = "", set[str]()
    for text, name, form in parts_of(template):
        pattern += re.escape(text)
        if name is None:
            continue
        if name in seen:
            pattern += f"(?P={name})"
            continue
        seen.add(name)
        number = _NUMBER.fullmatch(form)
        pattern += f"(?P<{name}>" + (rf"\d{{{number['width'] or 1},}}" if form and number else r"[^/]+?") + ")"
    return re.compile(pattern)


def parse(template: str, text: str) -> dict[str, Value] | None:
    """The values that print as `text`, numbers as numbers; None when the text is not of that form.

    A text that would be printed otherwise (`raw013-5.dat` for chunk 13) is not of that form: its file would never be
    found again under the name that is printed for it.
    """
    found = _pattern(template).fullmatch(text)
    if found is None:
        return None
    forms = {name: form for _, name, form in parts_of(template) if name is not None}
    values: dict[str, Value] = {name: int(word) if forms[name] else word for name, word in found.groupdict().items()}
    return values if Scope(values).print(template) == text else None
