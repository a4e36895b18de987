"""Logins with a password: a few wrong ones from an address are looked at, the next ones are refused unseen.

To look at a password costs a tenth of a second of CPU, by intent; so few are looked at together, whoever asks.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from pilotext.server.api.auth import WRONG, address_of
from pilotext.server.production.access.people import users_with_roles
from pilotext.server.production.statistics.marks import with_marks
from pilotext.server.rows import AnnotatedById

log = logging.getLogger("pilotext.logins")

AT_ONCE = 2
_looking = threading.BoundedSemaphore(AT_ONCE)

_USER = AnnotatedById(User, lambda pk: with_marks(users_with_roles().filter(pk=pk)))
"""To make this query took longer than all else of asking whether a page has changed."""


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
        user = _USER.get(user_id)
        return user if self.user_can_authenticate(user) else None
