"""`pilotext rules VERB`: what experts of programs need to write rules, one module a verb."""

from __future__ import annotations

import argparse
import importlib

VERBS = {
    "lint": "tell every problem of the rule files, with its place and how to mend it",
    "test": "hold the rules against the examples in them and against the cases in fixtures/logs",
    "coverage": "tell which rules no case and no example exercises",
    "explain": "tell why a rule matches a log and is elected, or why not",
    "draft": "write a first rule for a failure that no rule knows",
    "compile": "put the compiled form of the rules into the installation, which saves each run the time to read them",
    "export": "write the codes, PanDA's tables or the JSON Schema of rule files",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar=" | ".join(VERBS), required=True)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary[:1].upper() + summary[1:] + ".")
        module = importlib.import_module(f"{__name__}.{name}")
        module.add_arguments(verb)
        verb.set_defaults(rules_function=module.run)


def run(options: argparse.Namespace) -> int:
    """Do what the verb says; 0 if all is well, 1 if not."""
    status: int = options.rules_function(options)
    return status
