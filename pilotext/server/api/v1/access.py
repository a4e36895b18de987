"""Who may use the API: managers see, make and revoke tokens."""

from __future__ import annotations

from pilotext.api.schemas.access import IssuedToken, NewToken, Revocation, Revoked, TokenList, TokenRow
from pilotext.errors import UsageError
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.production.access.tokens import issue, revoke
from pilotext.server.production.models import Token
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason

MOST = 1000


def tokens(_call: Call) -> TokenList:
    rows = Token.objects.select_related("site").order_by("-pk")[:MOST]
    return TokenList(
        tuple(
            TokenRow(
                row.pk, row.label, row.role, row.site.name if row.site else "", row.created, row.expires, row.revoked
            )
            for row in rows
        )
    )


def make_token(call: Call) -> IssuedToken:
    asked: NewToken = call.body
    by = Reason(call.caller.who, "asked for", "person")
    try:
        return IssuedToken(issue(asked.label, asked.role, asked.site, good_for_s=asked.days * 86400.0, by=by))
    except UsageError as error:
        raise RefusalError("invalid", str(error)) from None


def revoke_token(call: Call) -> Revoked:
    asked: Revocation = call.body
    number = call.number("token")
    if not Token.objects.filter(pk=number).exists():
        raise RefusalError("not-found", f"there is no token {number}.")
    return Revoked(tuple(revoke(Token.objects.filter(pk=number), Reason(call.caller.who, asked.why, "person"))))


ENDPOINTS = (
    Endpoint("GET", "/api/v1/tokens", "manager", TokenList, tokens, "Tokens, without what is secret of them."),
    Endpoint("POST", "/api/v1/tokens", "manager", IssuedToken, make_token, "Make a token; it is shown once.", NewToken),
    Endpoint("POST", "/api/v1/tokens/{token}/revoke", "manager", Revoked, revoke_token, "End a token.", Revocation),
)
