"""Target of Granian in its worker process."""

from __future__ import annotations

import os

from pilotext.server.front.address import trusted_of
from pilotext.server.front.gate import RequestGate
from pilotext.server.wsgi import application

THREADS = 64

app = RequestGate(
    application,
    application,
    threads=int(os.environ.get("PILOTEXT_THREADS", THREADS)),
    trusted=trusted_of(os.environ),
)
