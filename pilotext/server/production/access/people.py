"""People: users of the pages, and the group that says what each may do, here and with a token of theirs."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Case, OuterRef, QuerySet, Subquery, Value, When

from pilotext.errors import UsageError
from pilotext.server.database import transact
from pilotext.server.production.transitions import Reason, record

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
