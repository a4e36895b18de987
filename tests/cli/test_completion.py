"""The completion scripts are ones that the shells understand, and they offer verbs, options, states and files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pilotext.cli.main import main

PROBE = """
source "$1"; cd "$2"; shift 2
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
name=$(complete -p pilotext | sed -E 's/.* -F ([^ ]+) .*/\\1/')
"$name" pilotext "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "pilotext"
    command = [sys.executable, "-P", "-m", "pilotext", "completion", "bash"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


def completed(script: Path, folder: Path, *words: str) -> set[str]:
    """Return what bash offers for the last word."""
    command = ["bash", "-c", PROBE, "bash", str(script), str(folder), "pilotext", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.split("\n") if word.strip()}


def test_bash_completes_commands_verbs_options_and_values(script: Path, tmp_path: Path) -> None:
    assert completed(script, tmp_path, "ta") == {"tasks"}
    assert {"resend", "rejudge", "show"} <= completed(script, tmp_path, "jobs", "")
    assert completed(script, tmp_path, "jobs", "rejudge", "--ac") == {"--act"}
    assert completed(script, tmp_path, "jobs", "list", "--state", "f") == {"finished", "failed"}
    assert completed(script, tmp_path, "jobs", "list", "--cause", "input") == {"input-missing", "input-corrupt"}


def test_bash_completes_files_and_folders(script: Path, tmp_path: Path) -> None:
    (tmp_path / "job.json").touch()
    (tmp_path / "jobs").mkdir()
    assert completed(script, tmp_path, "run", "jo") == {"job.json", "jobs"}
    assert completed(script, tmp_path, "run", "job.json", "--workdir", "jo") == {"jobs"}


def test_the_script_for_zsh_is_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    text = capfd.readouterr().out
    assert text.startswith("#compdef pilotext")
    assert "_files -/" in text
    if shutil.which("zsh"):
        (tmp_path / "_pilotext").write_text(text)
        subprocess.run(["zsh", "-n", str(tmp_path / "_pilotext")], check=True)


def test_another_shell_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["completion", "fish"])
    assert end.value.code == 64
    assert "invalid choice: 'fish'" in capfd.readouterr().err
