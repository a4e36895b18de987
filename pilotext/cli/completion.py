"""`pilotext completion`: print the completion script of a shell."""

from __future__ import annotations

import argparse

from pilotext.cli import main, parser
from pilotext.cli.output import write
from pilotext.model.codes import Exit

SHELLS = ("bash", "zsh")
EXAMPLE = """pilotext completion bash > ~/.local/share/bash-completion/completions/pilotext
pilotext completion zsh > ~/.zfunc/_pilotext"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(options: argparse.Namespace) -> int:
    import shtab  # noqa: PLC0415  only this command needs it

    root, _ = parser.build(main.COMMANDS, main.COMMANDS)
    write(shtab.complete(root, options.shell).encode())
    return Exit.SUCCESS
