"""An installed package, made of a wheel: it has everything inside that a checkout has beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.jobs import CHECKOUT

TRACKED = ("pilotext", "rules", "bin", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_SHOW = """
from pilotext.profile import find_rules_root, known_experiments, load_experiment
print(find_rules_root(), *known_experiments(), load_experiment("COMPASS").number)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed package, whose wheel was built of a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    left_out = shutil.ignore_patterns("__pycache__", "compiled")
    for name in TRACKED:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, symlinks=True, ignore=left_out)
        else:
            shutil.copy(CHECKOUT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site-packages")
    return folder / "site-packages"


@pytest.mark.long(15)
def test_rule_packs_are_inside(installed: Path) -> None:
    checkout = {
        path.relative_to(CHECKOUT / "rules"): path.read_bytes() for path in (CHECKOUT / "rules").glob("*/*.yaml")
    }
    shipped = installed / "pilotext" / "shipped_rules"
    assert {path.relative_to(shipped): path.read_bytes() for path in shipped.glob("*/*.yaml")} == checkout
    assert (shipped / "lock.json").read_bytes() == (CHECKOUT / "rules" / "lock.json").read_bytes()
    shown = subprocess.run(
        [sys.executable, "-P", "-c", _SHOW],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=installed.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [str(shipped), "COMPASS", "NA62", "58"]


@pytest.mark.long(15)
def test_pages_are_inside(installed: Path) -> None:
    pages = sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "pilotext").rglob("templates/**/*.html"))
    assert pages
    assert all((installed / page).is_file() for page in pages)


def test_a_checkout_uses_its_own_rules() -> None:
    shown = subprocess.run([sys.executable, "-P", "-c", _SHOW], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [str(CHECKOUT / "rules"), "COMPASS", "NA62", "58"]


@pytest.mark.long(15)
def test_templates_and_style_sheets_are_inside(installed: Path) -> None:
    """A page whose template stayed in the checkout fails only where pilotext is installed."""
    left_out = {"__pycache__", "compiled", "shipped_rules"}
    package = CHECKOUT / "pilotext"
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    parts = sorted(str(path) for path in files if path.suffix != ".py" and not left_out & {*path.parts})
    assert "server/pages/templates/pages/base.html" in parts
    assert [part for part in parts if not (installed / "pilotext" / part).is_file()] == []
