"""Coloured lines for people: the only place that makes text for `rich`, so that all of it is sanitized."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.text import Text

from pilotext.sanitize import one_line


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return one line of texts, each alone or with its style."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((one_line(text), style) for text, style in pairs))


def rendered(lines: Iterable[Text]) -> str:
    """Return the lines as they are written to stdout: in colours if that is a terminal."""
    text = StringIO()
    console = Console(file=text, force_terminal=os.isatty(1), highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line)
    return text.getvalue()
