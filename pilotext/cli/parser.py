"""Parsers of the command line: one for each verb, with its own description, example and arguments.

A command is a verb (`pilotext run`) or a noun with verbs (`pilotext jobs resend`). Its module is imported only when it
is asked for: starting a job must stay cheap.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pilotext import __version__
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

HELP = ("-h", "--help")


class Parser(argparse.ArgumentParser):
    """argparse with our exit status for a wrong use: the pilot gives 2 a meaning of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.arguments: list[argparse.Action] = []
        """The arguments of this parser, without those of groups."""
        super().__init__(*args, **{"formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs})

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        self.arguments.append(super().add_argument(*args, **kwargs))
        return self.arguments[-1]

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {one_line(message)}\n")


@dataclass(frozen=True)
class Verb:
    """A verb: its line in a list of verbs, an example of its use, its arguments, and the function that runs it."""

    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Noun:
    """The verbs of a noun; `default` is the verb of a command line without one.

    `default_takes_words`: a first word that is not a verb is an argument of the default verb.
    """

    verbs: Mapping[str, Verb]
    default: str | None = None
    default_takes_words: bool = False

    def with_verb(self, words: Sequence[str]) -> list[str]:
        """Return the words with the verb in front: it may stand behind options, or be left out."""
        if self.default is None or (words and (words[0] in self.verbs or words[0] in HELP)):
            return list(words)
        place = self._first_word(words)
        is_verb = place is not None and (words[place] in self.verbs or not self.default_takes_words)
        if place is None or not is_verb:
            return [self.default, *words]
        return [words[place], *words[:place], *words[place + 1 :]]

    def verbs_with(self, option: str) -> list[str]:
        """Return the verbs that take an option."""
        return [name for name, arguments in self._arguments().items() if option in _option_strings(arguments)]

    def _first_word(self, words: Sequence[str]) -> int | None:
        """Return the place of the first word that is neither an option nor the value of one."""
        arguments = [argument for of_verb in self._arguments().values() for argument in of_verb]
        flags = {*HELP, *_option_strings(argument for argument in arguments if argument.nargs == 0)}
        for place, word in enumerate(words):
            before = words[place - 1] if place else ""
            is_value = before.startswith("-") and "=" not in before and before not in flags
            if not word.startswith("-") and not is_value:
                return place
        return None

    def _arguments(self) -> dict[str, list[argparse.Action]]:
        parsers = {name: Parser(add_help=False) for name in self.verbs}
        for name, verb in self.verbs.items():
            verb.add_arguments(parsers[name])
        return {name: parser.arguments for name, parser in parsers.items()}


@dataclass(frozen=True)
class Command:
    """A command: its line in the list of commands, and its module.

    The module has a `NOUN`, or what makes a verb: `EXAMPLE`, `add_arguments` and `run`.
    """

    module: str
    summary: str


def parse(commands: Mapping[str, Command], words: Sequence[str]) -> argparse.Namespace:
    """Return the options, with the name of the `command` (None where there is none) and the `function` that runs it.

    Exits with a usage error where the words make no sense.
    """
    name = next((word for word in words if not word.startswith("-")), "")
    root, nouns = build(commands, (name,))
    noun = nouns.get(name)
    if noun is not None:
        place = words.index(name) + 1
        words = [*words[:place], *noun.with_verb(words[place:])]
    options, unknown = root.parse_known_args(words)
    if options.command is None and not unknown:
        root.print_help()
        options.function = lambda _options: Exit.USAGE
    if unknown:
        parser: Parser = getattr(options, "parser", root)
        parser.error(_unknown_argument(parser.prog, unknown[0].partition("=")[0], noun))
    return options


def build(commands: Mapping[str, Command], complete: Collection[str]) -> tuple[Parser, dict[str, Noun]]:
    """Return the parser of the whole command line, of which only some commands are `complete`, and their nouns."""
    root = Parser(prog="pilotext", description="Payload wrapper and error classifier for grid productions.")
    root.add_argument("--version", action="version", version=f"pilotext {__version__}")
    parsers = root.add_subparsers(dest="command", title="commands", metavar="COMMAND", parser_class=Parser)
    nouns: dict[str, Noun] = {}
    for name, command in commands.items():
        parser = parsers.add_parser(name, help=command.summary, description=_sentence(command.summary))
        if name not in complete:
            continue
        module = importlib.import_module(command.module)
        noun: Noun | None = getattr(module, "NOUN", None)
        if noun is None:
            _complete(parser, Verb(command.summary, module.EXAMPLE, module.add_arguments, module.run))
        else:
            nouns[name] = noun
            _add_verbs(parser, noun)
    return root, nouns


def _add_verbs(parser: Parser, noun: Noun) -> None:
    if noun.default is not None:
        parser.description = f"{parser.description} Without a verb: {noun.default}."
    parsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    for name, verb in noun.verbs.items():
        _complete(parsers.add_parser(name, help=verb.summary, description=_sentence(verb.summary)), verb)


def _complete(parser: Parser, verb: Verb) -> None:
    lines = verb.example.split("\n")
    parser.epilog = "\n  ".join(["example:" if len(lines) == 1 else "examples:", *lines])
    verb.add_arguments(parser)
    parser.set_defaults(function=verb.run, parser=parser)


def _unknown_argument(prog: str, argument: str, noun: Noun | None) -> str:
    """Return an error message that names the verbs of the noun that take this option."""
    takers = noun.verbs_with(argument) if noun is not None and argument.startswith("--") else []
    remedy = f"it is an option of: {', '.join(takers)}" if takers else f"see `{prog} --help`"
    return f"{argument}: `{prog}` takes no such argument; {remedy}"


def _option_strings(arguments: Iterable[argparse.Action]) -> set[str]:
    return {option for argument in arguments for option in argument.option_strings}


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}."
