"""Factory files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pilotext.engines.settings import FactoryFile, LabelSettings, read_factory_file

SITE = "CERN_COMPASS_PROD"


def label(**fields: Any) -> LabelSettings:
    return LabelSettings(**{"site": SITE, "system": "slurm", "max_jobs": 100, "wall_s": 3600.0, **fields})


def written(folder: Path, *, server: str = "http://127.0.0.1:9", labels: dict[str, Any], **fields: Any) -> Path:
    """Write a factory file, and a token beside it; returns its path."""
    (folder / "token").write_text("a-token\n")
    known = {name: {"site": SITE, "max_jobs": 8, "wall_s": 3600, **given} for name, given in labels.items()}
    document = {"format": 1, "name": "f1", "server": server, "token_file": "token", "labels": known, **fields}
    path = folder / "factory.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def factory_file(
    folder: Path, *, server: str = "http://127.0.0.1:9", labels: dict[str, Any], **fields: Any
) -> FactoryFile:
    return read_factory_file(written(folder, server=server, labels=labels, **fields))
