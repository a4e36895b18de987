"""Units of systemd, and the files of containers: their commands and settings exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pilotext.cli.main import COMMANDS
from pilotext.cli.parser import parse
from tests.support.jobs import CHECKOUT

FOLDER = CHECKOUT / "docs/deployment"
UNITS = sorted((FOLDER / "systemd").glob("*.service"))
CONTAINERS = sorted((FOLDER / "containers").glob("Containerfile.*"))
PLACE = "/opt/pilotext"


def verified(folder: Path, units: dict[str, str]) -> str:
    """Return what systemd says of units, in a folder of their own."""
    for name, text in units.items():
        (folder / name).write_text(text.replace(PLACE, str(CHECKOUT)))
    paths = [str(folder / name) for name in units]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_systemd_accepts_all_units(tmp_path: Path) -> None:
    assert len(UNITS) == 4
    assert verified(tmp_path, {unit.name: unit.read_text() for unit in UNITS}) == ""


def test_systemd_refuses_a_unit_whose_program_is_missing_or_whose_setting_is_unknown(tmp_path: Path) -> None:
    text = (FOLDER / "systemd/pilotext-web.service").read_text()
    wrong = {"a.service": text.replace("/bin/pilotext", "/bin/pilotexd"), "b.service": text.replace("UMask", "UMaks")}
    told = verified(tmp_path, wrong)
    assert "pilotexd" in told
    assert "UMaks" in told


def test_a_migration_is_not_broken_off() -> None:
    """Systemd kills what starts for more than 90 s, if nothing else is said, and begins it anew."""
    (web,) = [unit.read_text() for unit in UNITS if "server migrate" in unit.read_text()]
    assert "\nTimeoutStartSec=infinity\n" in web


def test_agents_have_a_user_of_their_own() -> None:
    users = {unit.name: re.findall(r"^User=(.*)$", unit.read_text(), re.MULTILINE) for unit in UNITS}
    assert users.pop("pilotext-agent@.service") == ["pilotext-agent"]
    assert {*map(tuple, users.values())} == {("pilotext",)}


def commands() -> list[str]:
    lines = [line for unit in UNITS for line in unit.read_text().splitlines() if line.startswith("ExecStart")]
    return [line.partition("=")[2] for line in lines]


@pytest.mark.parametrize("command", commands())
def test_every_command_of_a_unit_is_one_of_pilotext(command: str) -> None:
    program, *words = shlex.split(command.replace("${SLOTS}", "4"))
    assert program == f"{PLACE}/bin/pilotext"
    parse(COMMANDS, words)


@pytest.mark.parametrize("name", ["server.env", "agent.env"])
def test_every_setting_of_an_environment_file_is_read_somewhere(name: str) -> None:
    settings = re.findall(r"^(\w+)=", (FOLDER / "systemd" / name).read_text(), re.MULTILINE)
    assert len(settings) >= 3
    code = "".join(path.read_text() for path in (CHECKOUT / "pilotext").rglob("*.py"))
    units = "".join(unit.read_text() for unit in UNITS)
    assert [each for each in settings if each not in code and f"${{{each}}}" not in units] == []


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.name)
def test_a_container_is_built_of_files_and_extras_that_exist(path: Path) -> None:
    """No builder of images is at hand here: what the file copies, runs and starts is checked by itself."""
    text = path.read_text()
    (made,) = re.findall(r"/source/(bin/environment) /opt/pilotext (\w+)", text)
    assert shutil.which(str(CHECKOUT / made[0])) is not None
    assert (CHECKOUT / f"requirements/{made[1]}.txt").is_file()
    (start,) = re.findall(r'^(?:CMD|ENTRYPOINT) \["pilotext", (.*)\]$', text, re.MULTILINE)
    words = [*re.findall(r'"([^"]+)"', start), *(["--site", "A_SITE"] if "agent" in start else [])]
    parse(COMMANDS, words)
    assert "USER pilotext" in text
