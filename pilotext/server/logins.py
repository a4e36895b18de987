"""Logins with a password: a few wrong ones from an address are looked at, the next ones are refused unseen.

To look at a password costs a tenth of a second of CPU, by intent; so few are looked at together, whoever asks.
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest

from pilotext.server.api.auth import WRONG, address_of
from pilotext.server.production.access.people import users_with_roles
from pilotext.server.production.statistics.marks import with_marks

log = logging.getLogger("pilotext.logins")

AT_ONCE = 2
_KEY = 2**31 - 11
"""Stands for the id of the user while the query is made."""

_looking = threading.BoundedSemaphore(AT_ONCE)


class LimitedBackend(ModelBackend):
    """Django's own users, guarded against guessing."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **more: Any
    ) -> User | None:
        """The user, or None. Raises PermissionDenied, without a look, after too many wrong ones."""
        address = address_of(request.META) if request is not None else ""
        if not WRONG.has_left(address):
            raise PermissionDenied
        if not _looking.acquire(blocking=False):
            raise PermissionDenied
        try:
            user = super().authenticate(request, username=username, password=password, **more)
        finally:
            _looking.release()
        if user is None and WRONG.spend(address) and not WRONG.has_left(address):
            log.warning("too many wrong passwords or tokens from %s; further ones are refused for a while", address)
        return user

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session with role and marks, by one query; None for one who may nothing (any more)."""
        sql, parameters = _statement(connection.vendor)
        found = User.objects.raw(sql, [user_id if value == _KEY else value for value in parameters])
        user = next(iter(found), None)
        return user if self.user_can_authenticate(user) else None


@functools.cache
def _statement(_vendor: str) -> tuple[str, tuple[object, ...]]:
    """Return the query of a user, made once: that took longer than all else of asking whether a page has changed."""
    return with_marks(users_with_roles().filter(pk=_KEY)).query.sql_with_params()
