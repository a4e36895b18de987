from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pilotext.agent.identity import FILE_NAME, Identity


def test_the_next_agent_in_a_folder_has_the_name_of_the_one_before(tmp_path: Path) -> None:
    first = Identity(tmp_path)
    assert first.name.startswith(f"{socket.gethostname()}-")
    first.close()
    again = Identity(tmp_path)
    assert again.name == first.name
    again.close()


def test_agents_in_namespaces_of_their_own_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers host name and process number are often the same."""
    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr("socket.gethostname", lambda: "vm")
    names = [Identity(tmp_path / folder) for folder in ("one", "two")]
    assert names[0].name != names[1].name


def test_two_agents_in_one_folder_at_once_have_two_names(tmp_path: Path) -> None:
    one, two = Identity(tmp_path), Identity(tmp_path)
    assert one.name != two.name
    one.close()
    three = Identity(tmp_path)
    assert three.name == one.name


@pytest.mark.parametrize("found", ["maria", "another-0123456789ab", "", "x" * 5000])
def test_a_name_that_is_not_of_our_making_is_not_taken(tmp_path: Path, found: str) -> None:
    (tmp_path / FILE_NAME).write_text(found)
    assert Identity(tmp_path).name not in ("", found)


@pytest.mark.parametrize("thing", ["folder", "link", "fifo"])
def test_whatever_a_payload_puts_in_the_place_of_the_name_an_agent_can_start(tmp_path: Path, thing: str) -> None:
    path, other = tmp_path / FILE_NAME, tmp_path / "other"
    other.write_text("of somebody")
    if thing == "folder":
        (path / "x").mkdir(parents=True)
    elif thing == "link":
        path.symlink_to(other)
    else:
        os.mkfifo(path)
    first = Identity(tmp_path)
    first.close()
    assert Identity(tmp_path).name == first.name
    assert other.read_text() == "of somebody"
