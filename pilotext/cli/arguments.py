"""Kinds of arguments that several verbs take: paths, and words of a closed set.

An attribute `complete` tells shtab, which writes the shell completion, how a shell completes the argument.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from pilotext.profile import DEFAULT, default_experiment
from pilotext.profile.records import unknown


class FilePath(argparse.Action):
    """Store the path of a file."""

    complete: ClassVar[dict[str, str]] = {"bash": "_shtab_compgen_files", "zsh": "_files"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"type": Path, **kwargs})

    def __call__(self, _parser: object, namespace: argparse.Namespace, value: Any, _option: str | None = None) -> None:
        setattr(namespace, self.dest, value)


class FolderPath(FilePath):
    """Store the path of a folder."""

    complete: ClassVar[dict[str, str]] = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}


class FolderPaths(FolderPath):
    """Append the path of a folder to those that were given before."""

    def __call__(self, _parser: object, namespace: argparse.Namespace, value: Any, _option: str | None = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), value])


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add `--rules DIR`, which may be given several times."""
    parser.add_argument("--rules", action=FolderPaths, default=[], metavar="DIR", help="a further folder of rules")


def add_experiment(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--experiment E`, which may be left out where it is clear which one is meant."""
    text = f"{text} (default: {DEFAULT}, or the only one there is)"
    parser.add_argument("--experiment", metavar="E", help=text)


def experiment_of(options: argparse.Namespace) -> str:
    """Return the experiment that is asked for. Raises UsageError where it is not clear which one is meant."""
    return options.experiment or default_experiment(options.rules)


class _Several(list[str]):
    """Words of which one or several, separated by commas, are a choice."""

    def __contains__(self, words: object) -> bool:
        return isinstance(words, str) and all(list.__contains__(self, word) for word in words.split(","))


def add_choice(parser: argparse.ArgumentParser, option: str, values: Iterable[str], text: str, **more: Any) -> None:
    """Add an option whose value is one of a closed set; for another one, the error suggests the nearest."""
    known, name = list(values), option.lstrip("-")
    text = f"{text}: {', '.join(filter(None, known))}"
    parser.add_argument(option, type=one_of(name, known), choices=known, metavar=name.upper(), help=text, **more)


def add_choices(parser: argparse.ArgumentParser, option: str, values: Iterable[str], text: str) -> None:
    """Add an option whose value is one or several of a closed set, separated by commas."""
    known, name = _Several(values), option.lstrip("-")
    checked = one_of(name, list(known))

    def all_checked(words: str) -> str:
        return ",".join(checked(word) for word in words.split(","))

    text = f"{text}; several with commas: {', '.join(filter(None, known))}"
    parser.add_argument(option, type=all_checked, choices=known, metavar=name.upper(), help=text)


def one_of(name: str, known: list[str]) -> Callable[[str], str]:
    """Return a converter that refuses every word but the known ones."""

    def checked(word: str) -> str:
        if word not in known:
            raise argparse.ArgumentTypeError(str(unknown(f"there is no {name}", word, known)))
        return word

    return checked
