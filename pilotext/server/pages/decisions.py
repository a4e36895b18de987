"""Decisions of people by the forms of pages."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from pilotext.server.database import transact
from pilotext.server.pages.access import reason_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason

Move = Callable[[int, str, Reason], list[int]]


def carry_out(request: HttpRequest, page: str, number: int, move: Move, *, back: str = "") -> HttpResponse:
    """Carry out the decision of a form on the object of a page, and go back to that page, or to another one.

    Raises RefusalError without a reason, and where the object is in no state for the decision.
    """
    word, reason = request.POST.get("to", ""), reason_of(request)
    if not transact(lambda: move(number, word, reason)):
        raise RefusalError("conflict", f"{page} {number} is in no state for {word}; nothing was changed.")
    messages.success(request, f"Done: {word}.")
    return HttpResponseRedirect(back or reverse(page, args=[number]))
