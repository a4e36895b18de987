"""What somebody meets who starts the server for the first time, or on the wrong database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-P", "-X", "utf8", "-m", "pilotext", "server")


def server(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PILOTEXT_PUBLIC_URL")}
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_tables_are_made_and_then_there_are_tokens(tmp_path: Path) -> None:
    made = server(tmp_path, "migrate")
    assert (made.returncode, "pilotext.sqlite3 is ready" in made.stderr) == (0, True), made.stderr
    token = server(tmp_path, "token", "--role", "manager", "--label", "maria")
    assert (token.returncode, len(token.stdout.strip())) == (0, 43)


@pytest.mark.parametrize(
    "words",
    [
        ("token", "--label", "maria"),
        ("revoke", "--label", "maria"),
        ("user", "--user", "maria"),
        ("migrate", "--database", "postgresql://nobody@127.0.0.1:1/none"),
    ],
)
def test_a_database_that_is_not_there_is_told_and_no_bug(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = server(tmp_path, *words)
    assert told.returncode == 64
    assert "cannot be used" in told.stderr
    assert "pilotext server migrate" in told.stderr
    assert "swordfish" not in told.stderr
    assert "bug" not in told.stderr


def test_commands_of_django_run_on_the_database_of_the_server(tmp_path: Path) -> None:
    assert server(tmp_path, "migrate").returncode == 0
    shown = server(tmp_path, "manage", "showmigrations", "production")
    assert (shown.returncode, "[X] 0010_statistics" in shown.stdout) == (0, True), shown.stderr
    assert server(tmp_path, "manage", "check").returncode == 0


def test_an_unknown_command_of_django_is_refused_with_the_nearest(tmp_path: Path) -> None:
    refused = server(tmp_path, "manage", "showmigration")
    assert refused.returncode != 0
    assert "showmigrations" in refused.stderr


@pytest.mark.parametrize("part", ["all", "web"])
def test_an_address_that_another_program_has_is_refused_at_once(tmp_path: Path, part: str) -> None:
    """It was tried again for ever, and the first server answered instead of this one."""
    assert server(tmp_path, "migrate").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as other:
        told = server(tmp_path, part, "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert told.returncode == 64
    assert "cannot listen at 127.0.0.1:" in told.stderr
    assert "Address already in use" in told.stderr
    assert "choose another --listen" in told.stderr


@pytest.mark.parametrize("address", ["192.0.2.1:8080", "no.such.host.invalid:8080"])
def test_an_address_of_another_machine_is_refused(tmp_path: Path, address: str) -> None:
    told = server(tmp_path, "all", "--listen", address)
    assert told.returncode == 64
    assert "an address of this machine" in told.stderr
