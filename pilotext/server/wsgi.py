"""WSGI application that the server loads in its worker process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

from pilotext.server.boot import boot, collect_garbage_less_often
from pilotext.server.logs import set_up

_PR_SET_PDEATHSIG = 1

# A worker whose parent was killed would keep the port and go on answering, unseen by whoever starts the server anew.
ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
set_up(os.environ.get("PILOTEXT_LOG_LEVEL", "INFO"))
boot()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402  needs boot
from django.urls import get_resolver  # noqa: E402

from pilotext.errors import UsageError  # noqa: E402
from pilotext.server.database import share_commits  # noqa: E402
from pilotext.server.production.rule_files import changed_rule_files  # noqa: E402

share_commits()
# All views are imported before the first request: that takes seconds on a busy machine, and `/health` has three.
get_resolver().url_patterns  # noqa: B018  a property that imports
with contextlib.suppress(UsageError):  # a folder that does not exist; `/health` reports it
    changed_rule_files()  # remembers the files of now
application = WSGIHandler()
collect_garbage_less_often()
