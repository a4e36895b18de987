"""Submission of a task file: what it would do, and then the task."""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.errors import FieldError, StorageError, UsageError
from pilotext.formatting import THIN_SPACE, counted_words
from pilotext.profile.records import Experiment
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml
from pilotext.server.pages.access import page
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import TaskFile, WholeTask
from pilotext.server.production.submission.dry_run import dry_run
from pilotext.server.production.submission.listing import lister_for_others
from pilotext.server.production.submission.plan import Plan
from pilotext.server.production.submission.store import store

MAX_TEXT_BYTES = 60_000
"""Of a task file; a form of the pages has at most 64 KiB."""

MAX_SHOWN = 50
"""Refused inputs, taken names and files that a preview shows."""


@page("manager", methods=("GET", "HEAD", "POST"))
def show(request: HttpRequest) -> HttpResponse:
    """Show the form; with a task file, what its submission would do; with `submit`, submit it."""
    if request.method != "POST":
        return render(request, "pages/submit.html", {"text": ""})
    text = _text(request)
    if not text.strip():
        wrong = ["There is no task file: paste one into the field, or choose a file."]
        return render(request, "pages/submit.html", {"text": "", "wrong": wrong}, status=422)
    try:
        whole = task_of(text)
        experiment = profile_of(whole.task.experiment)
        whole, plan = plan_task(experiment, whole, lister_for_others())
    except (UsageError, StorageError) as error:
        return render(request, "pages/submit.html", {"text": text, "wrong": _lines(error)}, status=422)
    if request.POST.get("to") == "submit":
        return _submit(request, experiment, whole, plan)
    words = {"text": text, "would": dry_run(experiment, whole.task, plan), "name": whole.task.name, "most": MAX_SHOWN}
    return render(request, "pages/submit.html", words)


def task_of(text: str) -> WholeTask:
    """Return the task of a task file. Raises UsageError, with the place in the file, for what is wrong in it."""
    with tempfile.TemporaryDirectory(prefix="pilotext-submit-") as folder:
        path = Path(folder) / "task.yaml"
        path.write_text(text, encoding="utf-8")
        document = read_yaml(path)
    if document.problems:
        raise UsageError("\n".join(f"line {each.line}: {each.message} {each.advice}" for each in document.problems))
    try:
        task = from_plain(document.data, TaskFile)
    except FieldError as error:
        raise UsageError(str(error)) from None
    if task.catalogue or task.files.list:
        raise UsageError(
            "this task file names a catalogue or a list of files, which the server does not have.",
            advice="Submit it with `pilotext submit`, or put the files under `files.these`.",
        )
    return WholeTask(task)


def _submit(request: HttpRequest, experiment: Experiment, whole: WholeTask, plan: Plan) -> HttpResponse:
    if plan.refused and request.POST.get("leave_out") != "yes":
        refused = counted_words(len(plan.refused), "input", "is")
        raise RefusalError("invalid", f"{refused} refused; tick that refused inputs are left out.")
    done = store(experiment, whole.task, plan, f"person:{request.user.get_username()}")
    made = counted_words(done.jobs, "job", group=THIN_SPACE)
    said = f"Submitted: {made}." if done.created else "This very task was there already."
    messages.success(request, " ".join([said, *done.warnings]))
    return HttpResponseRedirect(reverse("task", args=[done.task]))


def _text(request: HttpRequest) -> str:
    file = request.FILES.get("file")
    raw = file.read(MAX_TEXT_BYTES + 1) if file is not None else request.POST.get("text", "").encode()
    if len(raw) > MAX_TEXT_BYTES:
        raise RefusalError("too-large", f"the task file has more than {MAX_TEXT_BYTES} bytes; use `pilotext submit`.")
    try:
        return raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RefusalError("invalid", "the task file is not UTF-8 text.") from None


def _lines(error: UsageError | StorageError) -> list[str]:
    return str(error).split("\n")
