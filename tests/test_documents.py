"""The documents name only files that exist, and are built as a site without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
_PATH = re.compile(r"`((?:pilotext|tests|rules|fixtures|benchmarks|bin)/[\w./-]*)(?:::\w+)?`")


def missing(text: str) -> list[str]:
    """Paths of the repository that a text names and that do not exist; CAPITALS stand for a name of the reader's."""
    return [path for path in _PATH.findall(text) if not re.search(r"[A-Z]{4}", path) and not (CHECKOUT / path).exists()]


@pytest.mark.unit
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_of_a_document_exists(document: Path) -> None:
    assert missing(document.read_text()) == []


@pytest.mark.unit
def test_a_path_that_does_not_exist_is_found() -> None:
    assert missing("see `pilotext/nowhere.py` and `pilotext/cli/`") == ["pilotext/nowhere.py"]


@pytest.mark.unit
def test_a_link_that_leads_nowhere_fails_the_site(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A page\n\n[nowhere](nowhere.md)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: test\n")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    made = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert made.returncode != 0
    assert "nowhere.md" in made.stderr
