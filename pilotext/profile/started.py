"""Template of a profile for a new experiment: complete, with names, commands and places that its author changes."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import yaml

from pilotext.errors import UsageError
from pilotext.profile import PROFILE

EXAMPLE = ("SHINE", 61)
"""Name and number of the experiment in `started.yaml`."""

NAME = re.compile(r"[A-Z][A-Z0-9]{1,15}")


def started_profile(name: str, number: int) -> str:
    """Return the text of a profile for an experiment. Raises UsageError for a name that cannot lead its codes."""
    if NAME.fullmatch(name) is None or name == "COMMON":
        advice = "It leads the codes (SHINE-1200): 2 to 16 capital letters and digits, a letter first, but not COMMON."
        raise UsageError(f"{name!r} cannot be the name of an experiment.", advice=advice)
    if not 0 < number < 1000:
        raise UsageError(f"{number} cannot be the number of an experiment.", advice="It is from 1 to 999.")
    text = resources.files("pilotext.profile").joinpath("started.yaml").read_text(encoding="utf-8")
    known, known_number = EXAMPLE
    if not isinstance(yaml.safe_load(name), str):  # NO, ON and others are words of YAML
        text = text.replace(f"experiment: {known}", f"experiment: '{name}'")
    text = text.replace(f"number: {known_number:<6}", f"number: {number:<6}").replace(
        f"{known}-1200 is {known_number}1200", f"{name}-1200 is {number}1200"
    )
    return text.replace(known, name).replace(known.lower(), name.lower())


def write_started(folder: Path, name: str, number: int, schema: str) -> Path:
    """Write the profile below a folder of rules, and its schema into that folder; return the path of the profile.

    Raises UsageError if there is a profile already, or one of the two cannot be written.
    """
    path = folder / name.lower() / PROFILE
    if path.exists():
        raise UsageError(f"{path} is there already.", advice="Change that one, or name another folder.")
    _write(folder / "profile.schema.json", schema)
    _write(path, started_profile(name, number))
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        advice = "Name a folder that you may write, with --folder."
        raise UsageError(f"{path} cannot be written: {error.strerror}.", advice=advice) from None
