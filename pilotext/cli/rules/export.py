"""`pilotext rules export`: export codes, rows for PanDA's tables, or the schemas of files that people write."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pilotext.cli.arguments import FilePath, add_experiment, add_rules, experiment_of
from pilotext.cli.output import write_document
from pilotext.engines.settings import FactoryFile
from pilotext.errors import UsageError
from pilotext.rules.export import codes
from pilotext.rules.export.panda import as_json
from pilotext.rules.export.panda_sql import SCHEMA_NAME, psql_script, sqlplus_script
from pilotext.rules.export.schema import document, profile_schema, rules_schema
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet
from pilotext.serialization.schema import described_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--codes", action="store_true", help="every code; formats: json (default), csv, markdown")
    what.add_argument(
        "--panda",
        action="store_true",
        help="rows for PanDA's tables RETRYACTIONS, RETRYERRORS and ERROR_CLASSIFICATION; formats: sql (default; for "
        "psql of PostgreSQL), sqlplus (of Oracle), json",
    )
    what.add_argument(
        "--schema",
        nargs="?",
        const="rules",
        choices=[*SCHEMAS],
        metavar="FILES",
        help="the JSON Schema, for editors, of these files: rules (default), profile, task, factory",
    )
    parser.add_argument(
        "--panda-schema",
        metavar="SCHEMA",
        help="schema of PanDA's tables, such as doma_panda or ATLAS_PANDA, if it is not that of the database's user",
    )
    formats = tuple(dict.fromkeys([*codes.FORMATS, *PANDA_FORMATS]))
    parser.add_argument("--format", choices=formats, metavar="FORMAT", help=f"{', '.join(formats)}; see above")
    parser.add_argument("--output", action=FilePath, metavar="FILE", help="write to FILE, not to stdout")
    add_experiment(parser, "the experiment whose rules are exported")
    add_rules(parser)


def run(options: argparse.Namespace) -> int:
    write_document(_text(options), options.output)
    return 0


def _text(options: argparse.Namespace) -> str:
    if options.panda_schema is not None and not options.panda:
        raise UsageError("--panda-schema applies to --panda only.", advice="Add --panda, or leave it out.")
    if options.schema:
        _known(options.format, ["json"])
        return SCHEMAS[options.schema]()
    if options.codes:
        return codes.FORMATS[_known(options.format, list(codes.FORMATS))](_ruleset(options))
    return PANDA_FORMATS[_known(options.format, list(PANDA_FORMATS))](_ruleset(options), _panda_schema(options))


def _ruleset(options: argparse.Namespace) -> RuleSet:
    return load_rules(experiment_of(options), options.rules)


def _panda_schema(options: argparse.Namespace) -> str:
    schema: str = options.panda_schema or ""
    if schema and not SCHEMA_NAME.fullmatch(schema):
        raise UsageError(
            f"--panda-schema {schema!r} is not the name of a schema.",
            advice="Give letters, digits and underscores, such as doma_panda or ATLAS_PANDA.",
        )
    return schema


def _panda_json(ruleset: RuleSet, schema: str) -> str:
    """Return the rows as JSON, which names no schema."""
    if schema:
        raise UsageError("--panda-schema does not apply to --format json.", advice="Leave it out.")
    return as_json(ruleset)


PANDA_FORMATS: dict[str, Callable[[RuleSet, str], str]] = {
    "sql": psql_script,
    "sqlplus": sqlplus_script,
    "json": _panda_json,
}


def task_schema() -> str:
    """Return the schema of task files."""
    from pilotext.server.production.submission.document import TaskFile  # noqa: PLC0415  code of the server

    return document(described_schema(TaskFile), "Task file of pilotext")


def factory_schema() -> str:
    """Return the schema of factory files."""
    plain = described_schema(FactoryFile)
    plain["$defs"]["FactoryFile"]["properties"]["format"]["const"] = 1
    return document(plain, "Factory file of pilotext")


SCHEMAS: dict[str, Callable[[], str]] = {
    "rules": rules_schema,
    "profile": profile_schema,
    "task": task_schema,
    "factory": factory_schema,
}


def _known(wanted: str | None, known: list[str]) -> str:
    if wanted is not None and wanted not in known:
        raise UsageError(f"there is no format {wanted!r} for this.", advice=f"Known are: {', '.join(known)}.")
    return wanted or known[0]
