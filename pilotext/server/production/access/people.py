"""People: users of the pages, and the group that says what each may do, here and with a token of theirs."""

from __future__ import annotations

import string
from typing import cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Case, OuterRef, QuerySet, Subquery, Value, When

from pilotext.errors import UsageError
from pilotext.server.database import transact
from pilotext.server.production.models import ClientCertificate
from pilotext.server.production.transitions import Reason, record

MAX_SUBJECT = 1000
"""Characters of the subject of a certificate."""

ASCII = frozenset(range(0x80))
UNESCAPED_BY_APACHE = frozenset((string.ascii_letters + string.digits + "$-_.+!*'(),:@&=/~").encode())
"""Bytes that `escape` in an expression of Apache leaves as they are."""

ROLES = ("manager", "expert", "viewer")
"""Names of the groups, the mightiest first: each may what the next one may."""

_MIGHTIEST = "mightiest_role"


def role_of(user: AbstractBaseUser | AnonymousUser) -> str | None:
    """The mightiest of a user's groups; None for one who may nothing (any more)."""
    if not isinstance(user, User) or not user.is_active:
        return None
    if hasattr(user, _MIGHTIEST):
        return cast("str | None", getattr(user, _MIGHTIEST))
    groups = set(user.groups.values_list("name", flat=True))
    return next((role for role in ROLES if role in groups), None)


def users_with_roles() -> QuerySet[User]:
    """Return the users, each with the role that it has now: `role_of` needs no query for them."""
    strength = Case(*(When(group__name=role, then=Value(place)) for place, role in enumerate(ROLES)))
    groups = User.groups.through._default_manager.filter(user=OuterRef("pk"), group__name__in=ROLES)
    return User.objects.annotate(**{_MIGHTIEST: Subquery(groups.order_by(strength).values("group__name")[:1])})


def make_groups() -> None:
    """The groups, where they are not there yet."""
    for role in ROLES:
        Group.objects.get_or_create(name=role)


def set_user(name: str, role: str | None, reason: Reason, password: str | None = None) -> User:
    """Make a user, or change the role and, if one is given, the password; role None ends what they may.

    Raises UsageError for a password that is too weak.
    """
    return transact(lambda: _set_user(name, role, reason, password))


def _set_user(name: str, role: str | None, reason: Reason, password: str | None) -> User:
    user = User.objects.select_for_update().filter(username=name).first()
    before = (role_of(user) or "none") if user else ""
    new = user is None
    user = user or User(username=name)
    user.is_active = role is not None
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise UsageError(" ".join(error.messages)) from None
        user.set_password(password)
    elif new:
        user.set_unusable_password()
    if new:
        user.save()
    else:
        user.save(update_fields=["is_active", "password"])
    user.groups.set(Group.objects.filter(name=role) if role else [])
    what = f"{name}{', with a new password' if password is not None else ''}: {reason.why}"
    record("user", role or "none", Reason(reason.who, what, reason.actor), [(user.pk, before, None)])
    return user


def add_certificate(name: str, subject: str, reason: Reason) -> None:
    """Let the client certificate with this subject log a person in, besides those of before.

    Raises UsageError where there is no such person, or the subject is that of another one, or cannot be in a header.
    """
    if not subject.strip() or len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise UsageError(
            f"{subject!r:.60} cannot be the subject of a certificate, which has 1 to {MAX_SUBJECT} characters.",
            advice="Write it as the proxy does: CN=Maria Muster,O=CERN,C=CH.",
        )
    if not subject.isascii():
        nginx, apache = _escaped(subject, "\\{:02X}", ASCII), _escaped(subject, "%{:02x}", UNESCAPED_BY_APACHE)
        raise UsageError(
            f"the subject {subject!r:.200} has characters beyond ASCII, which never arrive in a header.",
            advice=f"Write them as the proxy does. nginx: {nginx}; Apache, as documented: {apache}.",
        )
    transact(lambda: _add_certificate(name, subject.strip(), reason))


def _escaped(subject: str, form: str, kept: frozenset[int]) -> str:
    """Return the subject with each byte in this form, except those that are kept."""
    return "".join(chr(byte) if byte in kept else form.format(byte) for byte in subject.encode())


def _add_certificate(name: str, subject: str, reason: Reason) -> None:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise UsageError(f"there is no user {name!r:.60}.", advice="Make one with `pilotext server user`.")
    kept, new = ClientCertificate.objects.get_or_create(subject=subject, defaults={"user": user})
    if kept.user_id != user.pk:
        advice = "Remove it there first: `pilotext server certificate --remove`."
        raise UsageError(f"the certificate {subject!r:.200} is that of {kept.user.username}.", advice=advice)
    if new:
        _record_certificate(user, f"certificate {subject} added", reason)


def remove_certificate(name: str, subject: str, reason: Reason) -> None:
    """Let the certificate with this subject log nobody in any more. Raises UsageError where it is not the person's."""
    transact(lambda: _remove_certificate(name, subject.strip(), reason))


def _remove_certificate(name: str, subject: str, reason: Reason) -> None:
    kept = ClientCertificate.objects.select_related("user").filter(subject=subject, user__username=name).first()
    if kept is None:
        raise UsageError(
            f"{name!r:.60} has no certificate {subject!r:.200}.", advice="The page /people shows those of everybody."
        )
    kept.delete()
    _record_certificate(kept.user, f"certificate {subject} removed", reason)


def _record_certificate(user: User, what: str, reason: Reason) -> None:
    role = role_of(user) or "none"
    record(
        "user",
        role,
        Reason(reason.who, f"{user.username}, {what}: {reason.why}", reason.actor),
        [(user.pk, role, None)],
    )


def certified_name(subject: str) -> str:
    """Return the name of the person whom the certificate with this subject logs in; empty for nobody."""
    return User.objects.filter(certificates__subject=subject).values_list("username", flat=True).first() or ""
