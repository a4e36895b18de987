"""Target of Granian in its worker process."""

from __future__ import annotations

import os

from pilotext.server.front.address import trusted_of
from pilotext.server.front.gate import RequestGate

from pilotext.server.wsgi import application  # isort: skip  # sets up Django
from pilotext.server.api.guard import UrlGuard

THREADS = 64

app = RequestGate(
    application,
    UrlGuard(),
    threads=int(os.environ.get("PILOTEXT_THREADS", THREADS)),
    trusted=trusted_of(os.environ),
)
