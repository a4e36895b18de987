"""The house keeps its shape: who may import whom, and what a start must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pilotext"
SHARED = {
    *("cache", "model", "codes", "errors", "decode", "yamlfile", "profile"),
    *("redact", "secretshapes", "jsonschema", "kinship", "messages", "managing", "adjusting"),
}
MAY_IMPORT = {
    "cli": {"rules", "classify", "worker", "storage", "formats", "server", "engines", "cli"},
    "worker": {"classify", "storage", "formats", "rules", "worker"},
    "classify": {"rules", "classify"},
    "rules": {"rules"},
    "storage": {"storage"},
    "formats": {"formats"},
    "server": {"rules", "classify", "storage", "server"},
    "engines": {"engines"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The folder of a module below the package, or its own name at the top."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(module: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "pilotext" else node.module for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("pilotext.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    room = room_of(module)
    if room in SHARED:
        allowed = SHARED
    elif room in ("__init__", "__main__"):
        allowed = {"cli", "worker"}
    else:
        allowed = MAY_IMPORT[room] | SHARED
    assert imported_rooms(module) <= allowed


def test_the_rule_sees_an_import_that_is_not_allowed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from pilotext.worker import lifecycle\nimport pilotext.server.models\nfrom pilotext import cli\n")
    assert imported_rooms(wrong) == {"worker", "server", "cli"}


def test_starting_a_job_loads_nothing_heavy() -> None:
    look = "import sys, pilotext.cli.main, pilotext.cli.run; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "pilotext.worker.lifecycle" in loaded
    assert loaded.isdisjoint({"XRootD", "pyxrootd", "requests", "rich", "uproot", "numpy", "django", "asyncio"})
