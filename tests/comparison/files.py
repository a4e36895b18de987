"""ROOT files with histograms and a tree, as a production writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import uproot

EVENTS = 4000


def write_file(
    path: Path, *, seed: int = 1, events: int = EVENTS, shift: float = 0.0, bins: int = 50, **further: Any
) -> Path:
    """Write so many events with a mass around 1 + `shift`, and further objects by name."""
    chance = np.random.default_rng(seed)
    mass = chance.normal(1.0 + shift, 0.1, events)
    with uproot.recreate(path) as file:
        file.mktree("phast", {"event": np.int32}).extend({"event": np.arange(events, dtype=np.int32)})
        file["plots/mass"] = np.histogram(mass, bins=bins, range=(0.5, 1.5))
        file["vertex_xy"] = np.histogram2d(chance.random(events), chance.random(events), bins=8, range=((0, 1), (0, 1)))
        for name, content in further.items():
            file[name] = content
    return path
