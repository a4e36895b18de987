"""Decisions on many jobs: a preview of who can be moved and who cannot, then the decision in steps."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.jobs import BulkMove, BulkMoved, JobFilter
from pilotext.formatting import counted_words
from pilotext.server.database import transact
from pilotext.server.pages.access import page, reason_of
from pilotext.server.pages.queries import address, choice_of, given, in_words, whole_number
from pilotext.server.production.lookup import no_such_word
from pilotext.server.production.manual_decisions.bulk_preview import preview_of, scope_of
from pilotext.server.production.manual_decisions.jobs import JOB_WORDS
from pilotext.server.production.manual_decisions.worklist import assign_many, move_many, note_many
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.job_choice import choose_jobs

STEP = ("to", "why", "person", "after", "moved", "hindered")
"""Fields of a form that are about the decision and not about its jobs."""

MAX_PERSON = 150
OTHER_WORDS = ("assign", "note")
"""Decisions that leave waiting jobs where they are."""


@page("expert", methods=("GET", "HEAD", "POST"))
def show(request: HttpRequest) -> HttpResponse:
    """Show the effect of a decision on all jobs of a choice; by POST, carry its next step out."""
    chosen = choice_of(request, JobFilter, without=STEP)
    if chosen == JobFilter():
        raise RefusalError("invalid", "no jobs are chosen: tick some, or choose by task, state or code.")
    word = (request.POST if request.method == "POST" else request.GET).get("to", "")
    if word not in (*JOB_WORDS, *OTHER_WORDS):
        raise no_such_word(word, [*JOB_WORDS, *OTHER_WORDS])
    if request.method == "POST":
        return _move(request, chosen, word) if word in JOB_WORDS else _other(request, chosen, word)
    words: dict[str, object] = _common(request, word)
    if word in JOB_WORDS:
        asked = BulkMove(word, "a preview", chosen)
        preview = preview_of(asked)
        cannot = sum(each.jobs for each in preview.hindrances)
        words |= {"preview": preview, "cannot": cannot, "movable": preview.jobs - cannot, "scope": scope_of(asked)}
    else:
        words["number"] = choose_jobs(chosen).filter(state="manual").count()
    return render(request, "pages/manual_decide.html", words)


def _common(request: HttpRequest, word: str) -> dict[str, object]:
    choice = given(request, without=STEP)
    back = {name: text for name, text in choice.items() if name != "job"}
    return {
        "word": word,
        "choice": in_words(choice),
        "hidden": choice,
        "back": address(reverse("manual" if choice.get("state") == "manual" else "jobs"), **_list_fields(back)),
        "me": request.user.get_username(),
    }


def _list_fields(choice: dict[str, str]) -> dict[str, str]:
    """Return the fields of the work list, which is of one state."""
    return {name: text for name, text in choice.items() if choice.get("state") != "manual" or name != "state"}


def _move(request: HttpRequest, chosen: JobFilter, word: str) -> HttpResponse:
    """Carry out the next step of a decision; while jobs remain, show how far it is."""
    reason = reason_of(request)
    asked = BulkMove(word, reason.why, chosen, _number(request, "after"), all_tasks=chosen.task is None)
    done = transact(lambda: move_many(asked, reason))
    moved = _number(request, "moved") + len(done.moved)
    hindered = _number(request, "hindered") + len(done.hindered)
    if done.next is not None:
        step = {"why": reason.why, "after": done.next, "moved": moved, "hindered": hindered}
        words = {**_common(request, word), "step": step, "moved": moved, "left": done.left, "done": done}
        return render(request, "pages/manual_decide.html", words)
    if not moved and not hindered:
        raise RefusalError("conflict", f"no job of this choice is in a state for {word}; nothing was changed.")
    messages.success(request, _told(word, moved, hindered, done))
    return HttpResponseRedirect(_back(request))


def _told(word: str, moved: int, hindered: int, done: BulkMoved) -> str:
    said = f"Done: {word}, {moved} job{'' if moved == 1 else 's'}."
    if not hindered:
        return said
    example = f" Job {done.hindered[0].job}: {done.hindered[0].why}." if done.hindered else ""
    return f"{said} {hindered} could not be moved.{example}"


def _other(request: HttpRequest, chosen: JobFilter, word: str) -> HttpResponse:
    """Assign the waiting jobs of a choice, or write a note on them."""
    reason = reason_of(request)
    person = request.POST.get("person", "").strip()
    if len(person) > MAX_PERSON or not person.isprintable():
        raise RefusalError("invalid", f"a person has a name of at most {MAX_PERSON} printable characters.")
    carry_out: Callable[[], list[int]] = {
        "assign": lambda: assign_many(chosen, person, reason),
        "note": lambda: note_many(chosen, reason),
    }[word]
    moved = transact(carry_out)
    messages.success(request, f"Done: {word}, {counted_words(len(moved), 'job')}.")
    return HttpResponseRedirect(_back(request))


def _back(request: HttpRequest) -> str:
    return str(_common(request, "")["back"])


def _number(request: HttpRequest, field: str) -> int:
    return whole_number(request.POST.get(field, "")) or 0
