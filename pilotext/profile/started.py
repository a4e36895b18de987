"""Begin of a profile for a new experiment: a complete one, whose names, commands and places its author changes."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from pilotext.errors import UsageError
from pilotext.profile import PROFILE

EXAMPLE = ("SHINE", 61)
"""Name and number of the experiment in `started.yaml`."""

NAME = re.compile(r"[A-Z][A-Z0-9]{1,15}")


def started_profile(name: str, number: int) -> str:
    """Return the text of a profile for an experiment. Raises UsageError for a name that cannot lead its codes."""
    if NAME.fullmatch(name) is None:
        advice = "It leads the codes (COMPASS-1200): 2 to 16 capital letters and digits, a letter first."
        raise UsageError(f"{name!r} cannot be the name of an experiment.", advice=advice)
    if not 0 < number < 1000:
        raise UsageError(f"{number} cannot be the number of an experiment.", advice="It is from 1 to 999.")
    text = resources.files("pilotext.profile").joinpath("started.yaml").read_text(encoding="utf-8")
    known, known_number = EXAMPLE
    text = text.replace(f"number: {known_number:<6}", f"number: {number:<6}").replace(
        f"{known}-1200 is {known_number}1200", f"{name}-1200 is {number}1200"
    )
    return text.replace(known, name).replace(known.lower(), name.lower())


def write_started(folder: Path, name: str, number: int, schema: str) -> Path:
    """Write the profile below a folder of rules, and its schema into that folder; return the path of the profile.

    Raises UsageError if there is a profile already, or the folder cannot be written.
    """
    text = started_profile(name, number)
    path = folder / name.lower() / PROFILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        (folder / "profile.schema.json").write_text(schema, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{path} is there already.", advice="Change that one, or name another folder.") from None
    except OSError as error:
        advice = "Name a folder that you may write, with --folder."
        raise UsageError(f"{path} cannot be written: {error.strerror}.", advice=advice) from None
    return path
