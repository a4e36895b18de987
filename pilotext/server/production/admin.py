"""Django's administration at `/admin/`: accounts with their roles, and tokens; for managers alone.

Every change goes through the functions that the command line and the API use, and has its line in the audit trail. Rows
are never deleted here: an account loses its role, a token is revoked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.admin.helpers import ActionForm
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from pilotext.errors import UsageError
from pilotext.server.production.access.people import ROLES, role_of, set_user
from pilotext.server.production.access.tokens import check_label, fingerprint, issue, revoke
from pilotext.server.production.models import Token
from pilotext.server.production.models.people import ROLES as TOKEN_ROLES
from pilotext.server.production.transitions import Reason
from pilotext.server.times import DAY_S

if TYPE_CHECKING:
    UserModelAdmin = admin.ModelAdmin[User]
    GroupModelAdmin = admin.ModelAdmin[Group]
    TokenModelAdmin = admin.ModelAdmin[Token]
    UserModelForm = forms.ModelForm[User]
    TokenModelForm = forms.ModelForm[Token]
else:
    UserModelAdmin = GroupModelAdmin = TokenModelAdmin = admin.ModelAdmin
    UserModelForm = TokenModelForm = forms.ModelForm

NO_ROLE = "none"


def is_manager(user: AbstractBaseUser | AnonymousUser) -> bool:
    return role_of(user) == "manager"


def reason_of(request: HttpRequest, why: str) -> Reason:
    return Reason(f"person:{request.user.get_username()}", why, "person")


class ManagerLoginForm(AdminAuthenticationForm):
    """Login of managers; everybody else gets the same answer as after a wrong password."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not is_manager(user):
            raise self.get_invalid_login_error()


class AuditedPasswordChangeForm(AdminPasswordChangeForm):
    """Change of one's own password, with its line in the audit trail."""

    def save(self, commit: bool = True) -> User:
        by = Reason(f"person:{self.user.username}", "own password", "person")
        saved = set_user(self.user.username, role_of(self.user), by, self.cleaned_data["new_password1"])
        self.user.password = saved.password  # the session goes on with it
        return saved


class ManagerSite(admin.AdminSite):
    """Administration that only managers see: roles, not Django's flags for staff, decide."""

    site_header = site_title = "pilotext"
    index_title = "Accounts and tokens"
    site_url = None
    login_form = ManagerLoginForm

    def has_permission(self, request: HttpRequest) -> bool:
        return is_manager(request.user)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        change = PasswordChangeView.as_view(
            form_class=AuditedPasswordChangeForm,
            template_name="registration/password_change_form.html",
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return cast("TemplateResponse", change(request))


site = ManagerSite()


class ManagerOnly:
    """Permissions of a `ModelAdmin` by role; nothing is deleted."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_manager(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_manager(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_manager(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_manager(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UserForm(UserModelForm):
    """An account: its role, a new password if one is given, and the reason for the audit trail."""

    role = forms.ChoiceField(choices=[(role, role) for role in (*reversed(ROLES), NO_ROLE)])
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Empty: the password stays as it is; a new account without one can use tokens only.",
    )
    why = forms.CharField(label="Reason")

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        if self.instance.pk:
            self.fields["role"].initial = role_of(self.instance) or NO_ROLE

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if password:
            validate_password(password, User(username=self.cleaned_data.get("username", self.instance.username)))
        return password


@admin.register(User, site=site)
class UserAdmin(ManagerOnly, UserModelAdmin):
    form = UserForm
    fields = ("username", "role", "password", "why")
    list_display = ("username", "role", "last_login", "valid_tokens")
    search_fields = ("username",)
    ordering = ("username",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        valid = Count("api_tokens", filter=Q(api_tokens__revoked=None))
        return super().get_queryset(request).annotate(valid_tokens=valid).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return ("username",) if obj else ()  # the audit trail and tokens name accounts by it

    @admin.display
    def role(self, user: User) -> str:
        return role_of(user) or NO_ROLE

    @admin.display(description="tokens")
    def valid_tokens(self, user: Any) -> int:
        return int(user.valid_tokens)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        chosen = form.cleaned_data
        role = None if chosen["role"] == NO_ROLE else chosen["role"]
        saved = set_user(obj.username, role, reason_of(request, chosen["why"]), chosen["password"] or None)
        obj.pk = saved.pk


@admin.register(Group, site=site)
class GroupAdmin(ManagerOnly, GroupModelAdmin):
    """The roles as they are: what a role permits is part of the program."""

    fields = ("name",)
    list_display = ("name", "members")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display
    def members(self, group: Group) -> str:
        return ", ".join(group.user_set.order_by("username").values_list("username", flat=True))


class TokenForm(TokenModelForm):
    """A new token, and the reason for the audit trail."""

    role = forms.ChoiceField(choices=[(role, role) for role in TOKEN_ROLES])
    good_for_days = forms.FloatField(required=False, min_value=0.01, help_text="Empty: it does not expire.")
    why = forms.CharField(label="Reason")

    class Meta:
        model = Token
        fields = ("label", "role", "user", "site")

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        for name in ("user", "site"):
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or self.cleaned_data
        if {"label", "role"} <= chosen.keys():
            owner = chosen.get("user")
            try:
                check_label(chosen["label"], chosen["role"], owner.username if owner else None)
            except UsageError as error:
                raise ValidationError({"label": str(error)}) from None
        return chosen


class RevocationForm(ActionForm):
    """Reason of the action that revokes tokens."""

    why = forms.CharField(label="Reason", required=False)


@admin.register(Token, site=site)
class TokenAdmin(ManagerOnly, TokenModelAdmin):
    form = TokenForm
    action_form = RevocationForm
    actions = ("revoke_tokens",)
    list_display = ("label", "role", "user", "site", "created", "expires", "revoked")
    list_filter = ("role",)
    list_select_related = ("user", "site")
    search_fields = ("label",)
    ordering = ("-pk",)

    def get_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        return self.list_display if obj else ("label", "role", "user", "site", "good_for_days", "why")

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        return self.list_display if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:
        chosen, by = form.cleaned_data, reason_of(request, form.cleaned_data["why"])
        days, owner, at = chosen["good_for_days"], chosen["user"], chosen["site"]
        secret = issue(
            obj.label,
            obj.role,
            at.name if at else None,
            user=owner.username if owner else None,
            good_for_s=None if days is None else days * DAY_S,
            by=by,
        )
        obj.pk = Token.objects.get(token=fingerprint(secret)).pk
        obj.token = secret  # for `response_add`: this object is not saved, the row has the fingerprint

    def response_add(self, request: HttpRequest, obj: Token, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret in the answer itself: it is in no session, no cookie and no address."""
        shown = {
            **self.admin_site.each_context(request),
            "title": "Token issued",
            "label": obj.label,
            "secret": obj.token,
        }
        answer = TemplateResponse(request, "admin/production/issued_token.html", shown)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description="Revoke selected tokens, with a reason", permissions=["view"])
    def revoke_tokens(self, request: HttpRequest, chosen: QuerySet[Token]) -> None:
        why = request.POST.get("why", "").strip()
        if not why:
            self.message_user(request, "No token was revoked: give a reason for the audit trail.", messages.ERROR)
            return
        ended = revoke(Token.objects.filter(pk__in=chosen.values_list("pk", flat=True)), reason_of(request, why))
        self.message_user(request, f"Tokens revoked: {len(ended)}.")
