"""`pilotext rules`: check, test and explain rules, and export them."""

from __future__ import annotations

from pilotext.cli.parser import Noun, Verb
from pilotext.cli.rules import compile as compiling
from pilotext.cli.rules import coverage, draft, explain, export, graph, lint, test

NOUN = Noun(
    {
        "lint": Verb(
            "report every problem of rule files, with its place and the remedy",
            "pilotext rules lint rules/shine/programs.yaml",
            lint.add_arguments,
            lint.run,
        ),
        "test": Verb(
            "test rules with their examples and with the cases in fixtures/logs",
            "pilotext rules test rules/shine",
            test.add_arguments,
            test.run,
        ),
        "coverage": Verb(
            "list the rules that no case exercises",
            "pilotext rules coverage --at-least 95",
            coverage.add_arguments,
            coverage.run,
        ),
        "explain": Verb(
            "explain why a rule matches a log and is elected, or why not",
            "pilotext rules explain killed payload_stderr.txt",
            explain.add_arguments,
            explain.run,
        ),
        "draft": Verb(
            "write the draft of a rule for a failure that no rule knows",
            "pilotext rules draft job.report.json --output rules/shine/new.yaml",
            draft.add_arguments,
            draft.run,
        ),
        "graph": Verb(
            "print which rules explain which, as a graph for Mermaid or Graphviz",
            "pilotext rules graph no-space-left --format dot",
            graph.add_arguments,
            graph.run,
        ),
        "compile": Verb(
            "store the compiled rules in the installation, so that jobs start faster",
            "pilotext rules compile SHINE",
            compiling.add_arguments,
            compiling.run,
        ),
        "export": Verb(
            "export the codes, the rows for PanDA's tables, or the JSON Schema of rule files",
            "pilotext rules export --codes --format markdown --output docs/codes.md",
            export.add_arguments,
            export.run,
        ),
    }
)
