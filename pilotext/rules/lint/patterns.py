"""Patterns and texts that cannot mean what their author wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from pilotext.errors import FileProblem
from pilotext.rules.lint.group import Check, Group, conditions_in, patterns_in
from pilotext.rules.patterns import compile_pattern

_EMPTY_GROUP = re.compile(r"(?<!\\)\(\)")


_GLOB = re.compile(r"^\*|(?<![\\\w])\w*(?<!\\)[A-Za-z0-9]\*[.\w-]")


_LITERAL_DOT = re.compile(r"[\w+]+\.(?:cc|dat|exe|opt|py|raw|root|sh|so|xml)\b")


_REGEX_IN_GLOB = re.compile(r"\.\*|\\|\(\?|\+$|^\^|\$$")


_FIELD = re.compile(r"\{(\w+)\}")


def patterns_that_are_none(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        try:
            compile_pattern(pattern)
        except regex.error as error:
            yield entry.problem(field, f"this is not a regular expression: {error}.")


def unescaped_parentheses(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        if found := _EMPTY_GROUP.search(pattern):
            near = pattern[max(0, found.start() - 20) : found.end()]
            message = f"`()` in `{near}` is an empty group and matches nothing."
            yield entry.problem(field, message, r"Write `\(\)` for the two characters, or use `contains`.")


def globs_for_patterns(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        if found := _GLOB.search(pattern):
            message = f"`{found[0]}` reads like a file name pattern; in a regular expression `*` repeats a character."
            yield entry.problem(field, message, "Write `.*` for any text.")


def dots_for_literals(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        if found := _LITERAL_DOT.search(pattern):
            yield entry.problem(field, f"the dot in `{found[0]}` stands for any character.", r"Write `\.` for a dot.")


def patterns_for_globs(group: Group) -> Iterator[FileProblem]:
    for entry in group.rules:
        for field, condition in conditions_in(entry.text):
            if condition.file is not None and _REGEX_IN_GLOB.search(condition.file.name):
                message = f"`{condition.file.name}` reads like a regular expression; here a file name pattern stands."
                yield entry.problem(f"{field}file.name", message, "Write `*` for any text and `?` for one character.")


_SET = re.compile(r"(?<!\\)((?:\\\\)*)\[\^?\]?(?:\\.|[^\]\\])*\]")
"""Set; it may contain such a character among others, mostly by a range."""

_UNPRINTED = re.compile(
    r"(?<!\\)(?:\\\\)*(?P<what>\\(?:[aefrv]|x(?:0[0-8b-fB-F]|1[0-9a-fA-F]|7[fF]))|[\x00-\x08\x0b-\x1f\x7f])(?![?*])"
)


def unprinted_characters(group: Group) -> Iterator[FileProblem]:
    for entry, field, pattern in patterns_in(group):
        if found := _UNPRINTED.search(_SET.sub(r"\1x", pattern)):
            what = found["what"].encode("unicode_escape").decode() if len(found["what"]) == 1 else found["what"]
            message = f"`{what}` is never found: control characters are removed from a line before it is matched."
            yield entry.problem(field, message, "Leave it out.")


_SMART_QUOTE = re.compile("[\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u00a0\u2013\u2014]")


def smart_quotes(group: Group) -> Iterator[FileProblem]:
    """Yield texts with a typographic sign; in a set of a pattern, beside the plain one, it is intended."""
    for entry in group.rules:
        for field, condition in conditions_in(entry.text):
            for name in ("match", "contains", "absent"):
                text = getattr(condition, name) or ""
                if found := _SMART_QUOTE.search(_SET.sub(r"\1x", text) if name == "match" else text):
                    message = f"`{found[0]}` is a sign of word processors; programs print the plain one."
                    yield entry.problem(f"{field}{name}", message, "Copy the text from the log; for both, write a set.")


_GREEDY = re.compile(r"\^?\.[*+][?]?(?P<inner>.+?)(?P<end>\.\*[?]?\$?)?")
_VAGUE = re.compile(r"[\w ]{1,12}")


def greedy_patterns(group: Group) -> Iterator[FileProblem]:
    """Yield patterns that begin with `.*`, which only takes time, and so hide how little they ask for."""
    for entry, field, pattern in patterns_in(group):
        if (found := _GREEDY.fullmatch(pattern)) is None:
            continue
        inner = found["inner"]
        message = "a pattern matches anywhere in a line: the `.*` around it says nothing."
        if _VAGUE.fullmatch(inner):
            message += f" What remains, `{inner}`, stands in many harmless lines too."
        yield entry.problem(field, message, f"Write `{inner}`, with more of the line around it.")


def missing_examples(group: Group) -> Iterator[FileProblem]:
    """Yield rules for texts without an example that matches, or without one that must not match."""
    for entry in group.rules:
        if not any(c.match or c.contains for _, c in conditions_in(entry.text)):
            continue
        examples = entry.text.examples
        for wanted, there in (
            ("match", any(example.match is not None for example in examples)),
            ("no-match", any(example.no_match is not None for example in examples)),
        ):
            if not there:
                yield entry.problem("examples", f"there is no `{wanted}` example.", f"Add `- {wanted}: …`.")


def lonely_braces_in_message(group: Group) -> Iterator[FileProblem]:
    """Yield messages with a brace that is not part of a `{name}`."""
    for entry in group.rules:
        if re.search(r"[{}]", _FIELD.sub("", entry.text.message)):
            yield entry.problem(
                "message", "a brace has no partner.", "Write `{name}` for what a group caught, or no brace."
            )


PATTERN_CHECKS: tuple[Check, ...] = (
    patterns_that_are_none,
    unescaped_parentheses,
    globs_for_patterns,
    dots_for_literals,
    patterns_for_globs,
    unprinted_characters,
    smart_quotes,
    greedy_patterns,
    missing_examples,
    lonely_braces_in_message,
)
