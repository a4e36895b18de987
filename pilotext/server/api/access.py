"""Tokens, users and the audit trail."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Count, Q
from dmr import Path

from pilotext.api.schemas.access import (
    IssuedToken,
    NewToken,
    Revocation,
    Revoked,
    TokenList,
    TokenRow,
    UserList,
    UserRow,
)
from pilotext.api.schemas.audit import AuditQuery, AuditTrail
from pilotext.api.schemas.fields import Id
from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.server.api.base import ApiController, Body, Query, operation
from pilotext.server.production.access.people import role_of
from pilotext.server.production.access.tokens import issue, revoke
from pilotext.server.production.models import Token
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.times import to_seconds

MAX_ROWS = 1000


class TokenPath(Record, frozen=True):
    token: Id


class TokensController(ApiController):
    @operation("manager")
    def get(self) -> TokenList:
        """List tokens, without their secrets."""
        rows = Token.objects.select_related("site").order_by("-pk")[:MAX_ROWS]
        return TokenList(
            tuple(
                TokenRow(
                    token=row.pk,
                    label=row.label,
                    role=row.role,
                    site=row.site.name if row.site else "",
                    created=to_seconds(row.created),
                    expires=to_seconds(row.expires),
                    revoked=to_seconds(row.revoked),
                )
                for row in rows
            )
        )

    @operation("manager")
    def post(self, parsed_body: Body[NewToken]) -> IssuedToken:
        """Make a token; its secret is shown once."""
        asked, by = parsed_body, self.reason("asked for")
        try:
            return IssuedToken(issue(asked.label, asked.role, asked.site, good_for_s=asked.days * 86400.0, by=by))
        except UsageError as error:
            raise RefusalError("invalid", str(error)) from None


class TokenRevokeController(ApiController):
    @operation("manager")
    def post(self, parsed_path: Path[TokenPath], parsed_body: Body[Revocation]) -> Revoked:
        """Revoke a token."""
        found = Token.objects.filter(pk=parsed_path.token)
        if not found.exists():
            raise RefusalError("not-found", f"there is no token {parsed_path.token}.")
        return Revoked(tuple(revoke(found, self.reason(parsed_body.why))))


class UsersController(ApiController):
    @operation("manager")
    def get(self) -> UserList:
        """List accounts with their roles."""
        good = Count("api_tokens", filter=Q(api_tokens__revoked=None))
        rows = User.objects.annotate(good=good).prefetch_related("groups").order_by("username")[:MAX_ROWS]
        return UserList(
            tuple(
                UserRow(
                    user=row.username,
                    role=role_of(row) or "",
                    last_login=row.last_login.timestamp() if row.last_login else None,
                    tokens=row.good,
                )
                for row in rows
            )
        )


class AuditController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[AuditQuery]) -> AuditTrail:
        """List a part of the audit trail."""
        return list_audit_entries(parsed_query)
