"""The house keeps its shape: who may import whom, and what a start must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pilotext"
SHARED = {
    *("model", "errors", "serialization", "profile", "environment"),
    *("redaction", "process_lifetime", "directory_tree", "ordinary_file", "sanitize", "formatting"),
}
MAY_IMPORT = {
    "api": {"api"},
    "cli": {
        "api",
        "rules",
        "classify",
        "worker",
        "storage",
        "formats",
        "server",
        "agent",
        "engines",
        "comparison",
        "cli",
    },
    "worker": {"api", "classify", "storage", "formats", "rules", "worker"},
    "classify": {"rules", "classify"},
    "rules": {"rules"},
    "storage": {"storage"},
    "formats": {"formats"},
    "comparison": {"formats", "comparison"},
    "server": {"api", "rules", "classify", "storage", "server"},
    "agent": {"api", "agent"},
    "engines": {"api", "engines"},
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
        allowed = {"cli", "worker", "process_lifetime"}
    else:
        allowed = MAY_IMPORT[room] | SHARED
    assert imported_rooms(module) <= allowed


def test_the_rule_sees_an_import_that_is_not_allowed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from pilotext.worker import lifecycle\nimport pilotext.server.models\nfrom pilotext import cli\n")
    assert imported_rooms(wrong) == {"worker", "server", "cli"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_product_does_not_import_its_tests_or_pytest(module: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in nodes if ast.unparse(node).split()[1].split(".")[0] in ("pytest", "tests", "fixtures")]


def test_starting_a_job_loads_nothing_heavy() -> None:
    look = "import sys, pilotext.cli.main, pilotext.cli.run; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "pilotext.worker.lifecycle" in loaded
    assert loaded.isdisjoint({"XRootD", "pyxrootd", "requests", "rich", "uproot", "numpy", "django", "asyncio"})


def decodes_unprepared(text: str) -> list[int]:
    """The lines on which msgspec is to make something of a type that `serialization.json.ready` has not looked at."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("msgspec."):
            continue
        of_name = ast.unparse(node.func).rpartition(".")[2]
        kinds = [word.value for word in node.keywords if word.arg == "type"]
        kinds += node.args[1:2] if of_name == "convert" else node.args[:1] if of_name == "Decoder" else []
        plain = ("ready(", "dict[", "list[")
        lines += [node.lineno for kind in kinds if not ast.unparse(kind).startswith(plain)]
    return lines


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_thread_can_meet_a_half_known_type(module: Path) -> None:
    if module != PACKAGE / "serialization" / "json.py":  # where `ready` is
        assert decodes_unprepared(module.read_text()) == []


@pytest.mark.parametrize(
    "call", ["msgspec.convert(x, Job)", "msgspec.json.decode(x, type=Job)", "msgspec.json.Decoder(Job)"]
)
def test_a_type_that_nobody_looked_at_is_found(call: str) -> None:
    assert decodes_unprepared(call) == [1]
    assert decodes_unprepared(call.replace("Job", "ready(Job)")) == []
