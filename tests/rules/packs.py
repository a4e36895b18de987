"""Small folders of rule files for tests: `pack.add(...)` writes one file, with what every file needs around it."""

from __future__ import annotations

import textwrap
from pathlib import Path

RULE = "cause: memory, action: retry, title: t"
"""What a rule needs beside its id, code and condition."""

EXAMPLES = "examples: [{match: boom}, {no-match: bang}]"


class Pack:
    """A folder laid out like `rules/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "common").mkdir(parents=True)

    def add(self, text: str, name: str = "compass/a.yaml", *, header: str | None = None) -> Path:
        """Write a file and return it; `text` is the YAML below its header."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        own = "" if path.parent.name == "common" else f"experiment: {path.parent.name.upper()}\n"
        path.write_text((f"format: 1\n{own}" if header is None else header) + textwrap.dedent(text))
        return path.resolve()
