"""Vocabulary and shape of the package: unique names, units, plain docstrings, modules that are concepts."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pilotext"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)

MAX_LINES = 400
SMALL_LINES = 60
QUESTION = re.compile(r"(What|How|Who|Whose|Which|Where|Why|When)\b")
ARCHAIC = re.compile(
    r"\b(shall|of the house|by hand|put away|(?:is|are) told|told to|(?:what|that|which) is no\b(?! longer| more))\b"
)
FORMER_WORDS = re.compile(r"\b(Sighting|Weight|ledger|keeper|kinship|legible|gates\.py|crosscheck|doors?)\b")

_COMMAND = "one file a verb of the command line"
_RESOURCE = "one file a resource of the API"
_PAGE = "one file a page"
_SYSTEM = "one file a batch system"
SMALL_WITH_ONE_IMPORTER = {
    "pilotext/agent/identity.py": "a domain rule: which name an agent has for good",
    "pilotext/classify/suppression.py": "a domain rule: when a rule that matched does not count",
    "pilotext/cli/jobs/notes.py": _COMMAND,
    "pilotext/cli/report_summary.py": "a text for people, apart from the command that prints it",
    "pilotext/cli/rules/compile.py": _COMMAND,
    "pilotext/cli/rules/graph.py": _COMMAND,
    "pilotext/cli/rules/lint.py": _COMMAND,
    "pilotext/cli/runs/listing.py": _COMMAND,
    "pilotext/comparison/probability.py": "a domain rule: the tests for two histograms",
    "pilotext/engines/gridengine.py": _SYSTEM,
    "pilotext/engines/lsf.py": _SYSTEM,
    "pilotext/engines/pbs.py": _SYSTEM,
    "pilotext/formats/event_formats.py": "the registry of formats, apart from each of them",
    "pilotext/profile/started.py": "the template of a profile, apart from the command that writes it",
    "pilotext/rules/export/graph.py": "one file a form of export",
    "pilotext/rules/reading.py": "imported only without compiled rules: the start of a job must not load it",
    "pilotext/server/api/attempts.py": _RESOURCE,
    "pilotext/server/api/health.py": _RESOURCE,
    "pilotext/server/api/panda/job_description.py": "the form of a job in the pilot protocol",
    "pilotext/server/api/rules.py": _RESOURCE,
    "pilotext/server/api/sites.py": _RESOURCE,
    "pilotext/server/front/health.py": "the bound of `/health`, apart from all other requests",
    "pilotext/server/pages/factory.py": _PAGE,
    "pilotext/server/pages/health.py": _PAGE,
    "pilotext/server/pages/login.py": _PAGE,
    "pilotext/server/pages/sites.py": _PAGE,
    "pilotext/server/production/merging/packing.py": "a domain rule: which files are merged into one",
    "pilotext/server/production/models/audit.py": "a file of tables",
    "pilotext/server/production/models/breaker.py": "a file of tables",
    "pilotext/server/production/models/factory.py": "a file of tables",
    "pilotext/server/production/submission/labels.py": "a domain rule, also for a migration",
    "pilotext/server/wsgi.py": "an entry point",
}
"""Small modules with one importer that stay alone, each with its reason."""

_TABLE = "the Django model, and the record of the same thing that travels or is configured"
SAME_NAME = {
    "Experiment": _TABLE,
    "Job": _TABLE,
    "Output": _TABLE,
    "Site": _TABLE,
}
"""Public class names that stand twice: a Django model and the record of the same thing that travels."""


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE.parent))


def docstrings(module: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of modules, classes and functions, and texts below fields and constants, with their lines."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def texts(module: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, and comments."""
    yield from docstrings(module)
    for number, line in enumerate(module.read_text().splitlines(), 1):
        if "# " in line:
            yield number, line.split("# ", 1)[1]


def importers() -> dict[str, set[str]]:
    """Modules of the package by the modules that import them."""
    found: dict[str, set[str]] = defaultdict(set)
    known = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                if name in known and known[name] != module:
                    found[name_of(known[name])].add(name_of(module))
    return found


def public_classes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        for node in tree_of(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name_of(module))
    return found


@pytest.mark.unit
def test_no_public_class_name_stands_twice() -> None:
    twice = {name: places for name, places in public_classes().items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in SAME_NAME} == {}
    assert set(SAME_NAME) <= set(twice), "a name in the list stands once by now"


@pytest.mark.unit
@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_bound_is_called_max_or_min(module: Path) -> None:
    assert re.findall(r"\b_?(?:MOST|LONGEST|BIGGEST|SMALLEST)_\w+", module.read_text()) == []


@pytest.mark.unit
@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_docstring_begins_with_a_verb_or_a_noun_phrase(module: Path) -> None:
    assert [(line, text.split("\n")[0]) for line, text in docstrings(module) if QUESTION.match(text)] == []


@pytest.mark.unit
@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_words_are_those_of_the_glossary_and_of_today(module: Path) -> None:
    assert [(line, text) for line, text in texts(module) if ARCHAIC.search(text) or FORMER_WORDS.search(text)] == []


@pytest.mark.unit
@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_can_be_read_in_one_go(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


@pytest.mark.unit
def test_a_small_module_has_several_importers_or_a_reason() -> None:
    by_module = importers()
    small = {
        name_of(module)
        for module in MODULES
        if module.name != "__init__.py"
        and len(module.read_text().splitlines()) < SMALL_LINES
        and len(by_module[name_of(module)]) == 1
    }
    assert small - set(SMALL_WITH_ONE_IMPORTER) == set()
    assert set(SMALL_WITH_ONE_IMPORTER) <= small, "a module in the list has grown, gone or got importers"


@pytest.mark.unit
def test_the_words_that_are_looked_for_are_found() -> None:
    assert QUESTION.match("What is published.")
    assert not QUESTION.match("Whether a file is published.")
    assert ARCHAIC.search("a file that is no raw file")
    assert not ARCHAIC.search("a file that is no longer needed")
    assert FORMER_WORDS.search("the keeper of the payload")
