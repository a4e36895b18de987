"""Tables of who may do what: tokens and client certificates; and of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models

from pilotext.server.production.models.common import only_states_of
from pilotext.server.production.models.task import Site
from pilotext.server.production.states import AGENT, AgentState
from pilotext.server.times import now

ROLES = ("viewer", "expert", "manager", "agent")


class Agent(models.Model):
    """A process that pulls jobs for its slots; registered again under the same name, it is the same agent."""

    name = models.TextField(unique=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="agents")
    host = models.TextField(default="")
    slots = models.IntegerField(default=1)
    version = models.TextField(default="")
    state = models.TextField(default=AgentState.ACTIVE)
    registered = models.DateTimeField(default=now)
    seen = models.DateTimeField(default=now)
    token = models.TextField(default="")
    """The label of the token by which it said hello last."""

    class Meta:
        constraints = [only_states_of(AGENT)]


class ClientCertificate(models.Model):
    """Subject of a client certificate, as the proxy that verifies it writes it, and the person whom it logs in."""

    subject = models.TextField(unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="certificates")


class TokenQuerySet(models.QuerySet["Token"]):
    def not_revoked(self) -> Self:
        return self.filter(revoked=None)

    def valid(self, at: datetime) -> Self:
        """Select tokens that are accepted at this point in time."""
        return self.not_revoked().filter(models.Q(expires__isnull=True) | models.Q(expires__gt=at))


class Token(models.Model):
    """A token of a caller of the API. `token` is its SHA-256, hexadecimal."""

    token = models.TextField(unique=True)
    label = models.TextField()
    role = models.TextField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="api_tokens")
    site = models.ForeignKey(Site, models.CASCADE, null=True, related_name="tokens")
    """The only site that an agent with this token may ask for; None: any."""
    created = models.DateTimeField(default=now)
    expires = models.DateTimeField(null=True)
    revoked = models.DateTimeField(null=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(role__in=ROLES), name="token_role_is_known")]
