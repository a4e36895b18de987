"""`pilotext rules graph`: print which rules explain which."""

from __future__ import annotations

import argparse

from pilotext.cli.arguments import FilePath, add_experiment, add_rules, experiment_of
from pilotext.cli.output import write_document
from pilotext.rules.export.graph import FORMATS
from pilotext.rules.loader import load_rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "only what these rules explain, and what explains them (default: all rules)"
    parser.add_argument("about", nargs="*", metavar="RULE", help=text)
    parser.add_argument("--format", choices=[*FORMATS], default="mermaid", help="mermaid (default) or dot (Graphviz)")
    parser.add_argument("--output", action=FilePath, metavar="FILE", help="write to FILE, not to stdout")
    add_experiment(parser, "the experiment whose rules are shown")
    add_rules(parser)


def run(options: argparse.Namespace) -> int:
    ruleset = load_rules(experiment_of(options), options.rules)
    write_document(FORMATS[options.format](ruleset, options.about), options.output)
    return 0
