"""YAML files read so that every error has its line and column.

Dates stay text (`since: 2017-09-12` is a string), `4.5e9` is a number, a key that stands twice is an error, and so is
what is nested deeper than DEEPEST.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pilotext.errors import FieldError, FileProblem

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same results, slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

Steps = tuple[str | int, ...]
"""The way to a value inside a document: keys and indices, `("rules", 3, "match")`."""

FORMER_FORMAT = "engine"
"""Former name of `format`, which this release still reads."""

DEEPEST = 40
"""Rule files and profiles are nested six deep."""

SUSPICIOUS = 2000
"""Fewer brackets than this, and shorter lines, cannot be nested so deep that the composer's own stack overflows."""

_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class _Loader(_SafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }


# YAML 1.1, which PyYAML reads, asks for a sign in the exponent; people do not write one.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(loader.construct_yaml_int(node))
    except ValueError:  # thousands of digits, or `0b_`, which YAML takes for a number and Python does not
        raise yaml.constructor.ConstructorError(None, None, "this number cannot be read", node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


@dataclass(frozen=True)
class Document:
    """One YAML file: its data (None if it cannot be read), where each value stands, and what is wrong with its YAML."""

    path: Path
    data: Any
    problems: tuple[FileProblem, ...]
    _root: yaml.Node | None = None

    def position(self, steps: Steps) -> tuple[int, int]:
        """Line and column, from 1, of the value at `steps`, or of the nearest thing around it that exists."""
        node, mark = self._root, self._root.start_mark if self._root else None
        for step in steps:
            found = _child(node, step)
            if found is None:
                break
            node, mark = found
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def problem(self, steps: Steps, message: str, advice: str = "", *, rule: str = "") -> FileProblem:
        return FileProblem(self.path, *self.position(steps), rule, message, advice)

    def field_problem(self, steps: Steps, error: FieldError, *, rule: str = "") -> FileProblem:
        """A decoding error, below the value at `steps`, with its place in the file."""
        message = f"`{error.path}`: {error.message}" if error.path else error.message
        return self.problem((*steps, *path_steps(error.path)), message, error.advice, rule=rule)

    def format_problem(self, known: int) -> FileProblem | None:
        """Return the problem of `format: N`, the version of the file's format, for a reader that knows `known`."""
        key = FORMER_FORMAT if isinstance(self.data, dict) and "format" not in self.data else "format"
        number = self.data.get(key) if isinstance(self.data, dict) else None
        if not isinstance(number, int):
            return self.problem((key,), "the file does not say its format.", f"Begin it with `format: {known}`.")
        if number > known:
            message = f"the file has format {number}; this pilotext reads format {known}."
            return self.problem((key,), message, "Upgrade pilotext.")
        return None

    def former_format_problem(self) -> Iterator[FileProblem]:
        """Yield a problem for the former name of `format`, which is still read."""
        if isinstance(self.data, dict) and FORMER_FORMAT in self.data:
            message = f"`{FORMER_FORMAT}` is now called `format`."
            yield self.problem((FORMER_FORMAT,), message, "Rename it: the next release does not read it.")


def read_yaml(path: Path) -> Document:
    """Read one file; whatever is wrong with it, unreadable included, is among the `problems` of the document."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        return _broken(path, 1, 1, f"this file cannot be read: {error.strerror}.")
    except UnicodeDecodeError as error:
        return _broken(path, 1, 1, f"this is not UTF-8 text: byte {error.start} cannot be read.")
    loader = None
    try:
        loader = _Loader(text)
        if place := _too_deep_to_compose(text) or _too_deep(root := loader.get_single_node()):
            return _too_deep_document(path, place)
        data = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, RecursionError) as error:
        place = _too_deep_by_tokens(text)
        return _too_deep_document(path, place) if place else _not_yaml(path, error)
    finally:
        if loader is not None:
            loader.dispose()
    return Document(path, data, tuple(_duplicate_keys(path, root)), root)


def _too_deep_document(path: Path, place: tuple[int, int]) -> Document:
    advice = "Close the brackets, or write the value in fewer levels."
    return _broken(path, *place, f"this is nested deeper than {DEEPEST} levels.", advice)


_QUOTES = "Put the text into single quotes; a single quote inside them is written twice."
_INDENTATION = "Correct the indentation: the entries of one list or mapping begin in the same column."
_SENTENCES = (
    ("mapping values are not allowed", "there is a second colon in the line, or the line is indented wrongly", _QUOTES),
    ("did not find expected key", "the line does not fit what stands around it", f"{_INDENTATION} Or: {_QUOTES}"),
    ("expected <block end>", "the line does not fit what stands around it", f"{_INDENTATION} Or: {_QUOTES}"),
    ("did not find expected '-' indicator", "the line does not continue the list above it", _INDENTATION),
    ("could not find expected ':'", "there is a key without a colon, or a text that goes on without quotes", _QUOTES),
    ("tab character", "there is a tab where blanks must stand", "Indent with blanks."),
    (r"character '\t'", "there is a tab where blanks must stand", "Indent with blanks."),
    ("that cannot start any token", "an unquoted text begins with a sign that has a meaning in YAML", _QUOTES),
    (
        "unknown escape character",
        "in double quotes a backslash begins an escape, which this one does not",
        "Put patterns into single quotes, where a backslash is a backslash.",
    ),
    ("unexpected end of stream", "a quote is not closed", "Close it where the text ends."),
    ("did not find expected alphabetic or numeric", "an unquoted text begins with `*` or `&`", _QUOTES),
    ("undefined alias", "an unquoted text begins with `*`, which refers to an anchor", _QUOTES),
    ("did not find expected ',' or", "a bracket or brace is not closed, or stands in an unquoted text", _QUOTES),
    ("expected ',' or", "a bracket or brace is not closed, or stands in an unquoted text", _QUOTES),
    ("could not determine a constructor for the tag", "an unquoted text begins with `!`", _QUOTES),
    ("control characters are not allowed", "there is a control character in the file", "Remove it, or leave it out."),
    ("special characters are not allowed", "there is a control character in the file", "Remove it, or leave it out."),
)
"""Messages of the YAML library (in part), what they mean in a file of ours, and what to do."""


def _not_yaml(path: Path, error: yaml.YAMLError | RecursionError) -> Document:
    if not isinstance(error, yaml.MarkedYAMLError):
        said, line, column = str(error), 1, 1
    else:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    for words, meaning, advice in _SENTENCES:
        if words in said:
            return _broken(path, line, column, f"this is not YAML: {meaning} ({said}).", advice)
    return _broken(path, line, column, f"this is not YAML: {said}.")


def path_steps(path: str) -> Steps:
    """`any[0].match` as steps."""
    return tuple(int(step) if step.isdigit() else step for step in re.split(r"[.\[\]]+", path) if step)


def _broken(path: Path, line: int, column: int, message: str, advice: str = "") -> Document:
    return Document(path, None, (FileProblem(path, line, column, "", message, advice),))


def _too_deep_to_compose(text: str) -> tuple[int, int] | None:
    """Return the position where a text is nested too deeply; reads events one by one and composes nothing."""
    if text.count("[") + text.count("{") < SUSPICIOUS and max(map(len, text.split("\n"))) < SUSPICIOUS:
        return None
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        mark = event.start_mark
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST and mark is not None:
            return mark.line + 1, mark.column + 1
    return None


def _too_deep_by_tokens(text: str) -> tuple[int, int] | None:
    """Find where a text that the library refused gets too deep.

    libyaml reads ahead over a thousand characters and has limits of its own, which change with its version. The scanner
    in Python has none.
    """
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > DEEPEST:
                return token.start_mark.line + 1, token.start_mark.column + 1
    except yaml.YAMLError:  # the library's own error stands
        return None
    return None


def _too_deep(root: yaml.Node | None) -> tuple[int, int] | None:
    level, seen = [root] if root is not None else [], set[int]()
    for _ in range(DEEPEST):
        new = [node for node in level if isinstance(node, yaml.CollectionNode) and id(node) not in seen]
        seen.update(map(id, new))
        level = [child for node in new for child in _children(node)]
    mark = level[0].start_mark if level else None
    return (mark.line + 1, mark.column + 1) if mark else None


def _children(node: yaml.CollectionNode) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value)


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Mark] | None:
    if isinstance(node, yaml.MappingNode):
        pairs = [(value, key.start_mark) for key, value in node.value if key.value == step]
        return pairs[-1] if pairs else None
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark
    return None


def _duplicate_keys(path: Path, root: yaml.Node | None) -> Iterator[FileProblem]:
    waiting, seen = [root] if root is not None else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _repeated(path, [key for key, _ in node.value])
            waiting += [value for _, value in node.value]
        else:
            waiting += node.value


def _repeated(path: Path, keys: list[yaml.Node]) -> Iterator[FileProblem]:
    first: dict[str, int] = {}
    for key in keys:
        mark, name = key.start_mark, str(key.value)
        if name in first:
            advice = f"Remove one; the first is on line {first[name]}."
            yield FileProblem(path, mark.line + 1, mark.column + 1, "", f"`{name}` is given a second time.", advice)
        first.setdefault(name, mark.line + 1)
