"""An environment that was made by bin/environment: it works where it was moved to, and where nothing can be written."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.jobs import CHECKOUT, job_document

pytestmark = pytest.mark.timeout(600)

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
COMPILED = """
from pilotext.rules import loader
assert loader._read
loader._read = None
print(len(loader.load_rules("COMPASS").rules))
"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    made = subprocess.run(
        [CHECKOUT / "bin/environment", folder / "made"], cwd="/", capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"{folder / 'made'}: pilotext ")
    return (folder / "made").rename(folder / "moved")


def on_a_read_only_system(folder: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    mapped = [] if os.getuid() == 0 else ["--map-root-user"]
    words = ["unshare", *mapped, "--mount", "/bin/sh", "-ec", READ_ONLY, str(folder), *command]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_a_pilot_runs_a_job_from_a_read_only_file_system(moved: Path, tmp_path: Path) -> None:
    spec = base64.b64encode(json.dumps(job_document()).encode()).decode()
    refused = on_a_read_only_system(moved, "touch", str(moved / "bin/new"), cwd=tmp_path)
    assert "Read-only" in refused.stderr
    ended = on_a_read_only_system(moved, str(moved / "bin/pilotext-trf"), "--spec", spec, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads((tmp_path / "job.report.json").read_text())["state"] == "done"


def test_a_server_finds_what_it_gives_to_pilots(moved: Path) -> None:
    asked = "import sys; from pathlib import Path; print((Path(sys.prefix) / 'bin/pilotext-trf').read_text(), end='')"
    python = [str(moved / ".venv/bin/python"), "-P", "-c", asked]
    given = subprocess.run(python, cwd="/", capture_output=True, text=True, check=True).stdout
    assert given == (CHECKOUT / "bin/pilotext-trf").read_text()


def test_a_node_without_its_python_says_so(moved: Path, tmp_path: Path) -> None:
    """A node of a grid may have CVMFS and another Python."""
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(moved / "bin/pilotext", tmp_path / "bin")
    (tmp_path / ".venv/bin/python").symlink_to("/nowhere/python3.11")
    told = subprocess.run([tmp_path / "bin/pilotext", "--version"], capture_output=True, text=True, check=False)
    assert told.returncode == 64
    assert "there is no Python at /nowhere/python3.11" in told.stderr
    assert "quickstart" not in told.stderr


def test_its_rules_are_compiled_and_nothing_names_the_folder_where_it_was_made(moved: Path) -> None:
    python = [str(moved / ".venv/bin/python"), "-P", "-c", COMPILED]
    assert int(subprocess.run(python, cwd="/", capture_output=True, text=True, check=True).stdout) > 200
    made = str(moved.with_name("made")).encode()
    scripts = [path for folder in ("bin", ".venv/bin") for path in (moved / folder).iterdir() if not path.is_symlink()]
    assert {path.name for path in scripts} >= {"pilotext", "pilotext-trf"}
    assert [path for path in scripts if made in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((".",), "is there already"),
        (("new", "spellings"), "setup.cfg has no extra spellings"),
        ((), "bin/environment DIR"),
    ],
)
def test_it_is_not_made_in_a_folder_that_exists_or_of_parts_that_do_not(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    made = subprocess.run(
        [CHECKOUT / "bin/environment", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 64
    assert said in made.stdout + made.stderr
    assert list(tmp_path.iterdir()) == []
