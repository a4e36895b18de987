"""The files that a pilot asks for: what its queue is, where it could put files (nowhere, pilotext does), our trf."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pilotext
from pilotext.profile import records as profile
from pilotext.server.production.models import Site
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError

STORAGE = "PILOTEXT_NOWHERE"
_ACTIVITIES = ("pr", "pw", "pl", "read_lan", "write_lan", "r", "w")
_DISK_MB = 20_000.0
_WORK_AND_LOGS = 1.5
"""The work directory also holds the logs, and a pilot adds 20 % before it ends a job."""


def _queue(queue: str) -> tuple[str, bytes]:
    return _json(queuedata(_site(queue)))


def _queues() -> tuple[str, bytes]:
    """All of them under their names, as pilots want to find them in a file (LOCAL_AGIS_SCHEDCONF)."""
    return _json({site.name: queuedata(site) for site in Site.objects.select_related("experiment")})


def _storages() -> tuple[str, bytes]:
    door = [{"endpoint": "file://localhost", "path": "/nonexistent", "flavour": "file", "id": 1}]
    nowhere = {"id": 1, "name": STORAGE, "state": "ACTIVE", "site": "NOWHERE", "type": "DATADISK", "token": ""}
    more = {"is_deterministic": True, "rprotocols": {}, "resource": {}, "arprotocols": dict.fromkeys(_ACTIVITIES, door)}
    return _json({STORAGE: nowhere | more})


def _site(name: str) -> Site:
    site = Site.objects.select_related("experiment").filter(name=name).first()
    if site is None:
        raise RefusalError("not-found", f"there is no queue {name!r:.80}.")
    return site


def queuedata(site: Site) -> dict[str, Any]:
    """Return the queue description that pilots 3.7 to 3.11 need; `panda` of the site in the profile overrides it."""
    experiment = profile_of(site.experiment.name)
    given = {
        "nickname": site.name,
        "panda_resource": site.name,
        "atlas_site": site.name,
        "state": "ACTIVE",
        "status": "online",
        "type": "production",
        "resource_type": "grid",
        "copytools": {"mv": {"setup": ""}},
        "acopytools": {activity: ["mv"] for activity in (*_ACTIVITIES[:5], "default")},
        "astorages": {activity: [STORAGE] for activity in _ACTIVITIES[:5]},
        "aprotocols": {},
        "container_type": "",
        "container_options": "",
        "catchall": "",
        "corecount": 1,
        "timefloor": 0,
        "maxtime": 0,
        "maxwdir": _work_directory_mb(experiment),  # 0 would be "no bytes"
        "maxrss": 0,
        "maxinputsize": 1_000_000,
        "allow_lan": True,
        "allow_wan": False,
        "direct_access_lan": False,
        "direct_access_wan": False,
        "params": {},
    }
    own = experiment.sites.get(site.name)
    return given | (own.panda if own else {})


def _work_directory_mb(experiment: profile.Experiment) -> int:
    largest = max((kind.limits.disk_mb or 0.0 for kind in experiment.job_types.values()), default=0.0)
    return int((largest or _DISK_MB) * _WORK_AND_LOGS)


@functools.cache
def _trf() -> tuple[str, bytes]:
    for folder in (Path(pilotext.__file__).resolve().parents[1] / "bin", Path(sys.prefix) / "bin"):
        if (path := folder / "pilotext-trf").is_file():
            return "text/plain; charset=utf-8", path.read_bytes()
    raise RefusalError("not-found", "this server has no pilotext-trf.")


def _json(content: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()


ROUTES: dict[str, Callable[..., tuple[str, bytes]]] = {
    "cache/schedconfig/<str:queue>.all.json": _queue,
    "cache/schedconfig.json": _queues,
    "cache/ddmendpoints.json": _storages,
    "trf/pilotext-trf": _trf,
}
"""Functions that return content type and content of a file, by their routes."""
