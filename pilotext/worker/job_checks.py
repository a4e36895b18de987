"""Checks of a job, field by field and between fields, before anything is started."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pilotext.environment import is_credential
from pilotext.errors import FieldError, UsageError, did_you_mean, known_words
from pilotext.model.file_checks import is_kind_name
from pilotext.model.job import Job, Kind
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.rules import event_balance
from pilotext.storage import registry
from pilotext.storage.leftovers import PARTS
from pilotext.storage.urls import is_folder, join
from pilotext.worker.log_archive import archive_name
from pilotext.worker.report_files import REPORT_NAMES

MAX_NAME_BYTES = 255
"""Bytes in the name of a file, on Linux and on EOS; the temporary name of a stage-out is the longest we make."""

MAX_LIMIT = 1e9
MAY_BE_ZERO = frozenset(
    {"finish_s", "grace_s", "transfer_wait_s", "transfer_min_kb_s", "transfer_retry_s", "stage_out_s"}
)
MIN_ARCHIVE_BYTES = 10_000

_FORBIDDEN_IN_NAMES = re.compile(r"[/?\x00-\x1f\x7f]")  # XRootD takes `?` for the end of the name
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ADLER32 = re.compile(r"[0-9a-fA-F]{8}")
_TOKEN = re.compile(r"[!-~]*")
_TAKEN_NAMES = frozenset({STDOUT_NAME, STDERR_NAME, *REPORT_NAMES})

Problems = Iterator[tuple[str, str]]
"""The path of a field, and what is wrong with it."""


def check(job: Job, *, where: str = "") -> None:
    """Raise FieldError for the first field whose value cannot be meant."""
    for part in (_command, _soft_stop, _names, _urls, _targets, _values, _report):
        for path, message in part(job):
            raise FieldError(path, message, where=where)


def check_type(job: Job, job_types: Mapping[str, Kind]) -> None:
    """Raise FieldError when the experiment has no such type, or gives it another kind: rules are chosen by both."""
    if job.type not in job_types:
        advice = did_you_mean(job.type, job_types, otherwise=known_words(sorted(job_types)))
        raise FieldError("type", f"{job.experiment} has no job type {job.type!r}.", advice=advice)
    if job.kind != job_types[job.type]:
        raise FieldError("kind", f"a {job.type!r} job is of kind {job_types[job.type]!r}, not {job.kind!r}.")


def _command(job: Job) -> Problems:
    if job.steps and job.command:
        yield "steps", "the job has a command already; give it steps or a command."
    yield from _environment("environment", job.environment)
    for index, name in enumerate(job.credentials):
        if not is_credential(name):
            yield (
                f"credentials[{index}]",
                f"{name!r} is not a variable that names a credential, such as X509_USER_PROXY.",
            )
    for path, setup in (("setup", job.setup), *((f"steps[{i}].setup", step.setup) for i, step in enumerate(job.steps))):
        if setup is not None and (not setup.startswith("/") or "\0" in setup):
            yield path, f"the setup script {setup!r} must be an absolute path."
    if not job.steps:
        yield from _words("command", job.command)
    seen: set[str] = set()
    for index, step in enumerate(job.steps):
        if not step.name or _CONTROL.search(step.name):
            yield f"steps[{index}].name", f"{step.name!r} cannot be a name."
        if step.name in seen:
            yield f"steps[{index}].name", f"{step.name!r} is already the name of a step before it."
        seen.add(step.name)
        yield from _words(f"steps[{index}].command", step.command)
        yield from _environment(f"steps[{index}].environment", step.environment)


def _words(path: str, command: tuple[str, ...]) -> Problems:
    if not command or not command[0]:
        yield path, "the command is empty; its first word is the program."
    for index, word in enumerate(command):
        if "\0" in word:
            yield f"{path}[{index}]", "it holds a NUL byte."


def _environment(path: str, environment: dict[str, str]) -> Problems:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"{path}.{name}", "this cannot be an environment variable."


def _soft_stop(job: Job) -> Problems:
    soft = job.soft_stop
    if soft is None:
        return
    if (soft.signal is None) == (soft.file is None):
        yield "soft_stop", "it needs either a signal or a file."
    if soft.signal is not None and soft.signal not in signal.Signals.__members__:
        yield "soft_stop.signal", f"there is no signal {soft.signal!r}; write for example SIGUSR1."
    if soft.file is not None and (problem := _name_problem(soft.file)):
        yield "soft_stop.file", problem
    if not 0 <= soft.wait_s <= MAX_LIMIT:
        yield "soft_stop.wait_s", f"{soft.wait_s} is not between 0 and {MAX_LIMIT:g}."


def _names(job: Job) -> Problems:
    for path, text in (("type", job.type), ("experiment", job.experiment)):
        if not text or _CONTROL.search(text):
            yield path, f"{text!r} cannot be a name."
    if problem := _name_problem(job.task):
        yield "task", f"it becomes part of file names, and {problem}"
    local = [(f"inputs[{index}].name", file.name) for index, file in enumerate(job.inputs)]
    local += [(f"outputs[{index}].name", file.name) for index, file in enumerate(job.outputs)]
    if job.log is not None:
        local.append(("log.name", archive_name(job)))
    seen: dict[str, str] = {}
    for path, name in local:
        if problem := _name_problem(name):
            yield path, problem
        if name in _TAKEN_NAMES:
            yield path, f"{name!r} is a file of pilotext itself; choose another name."
        if name in seen:
            yield path, f"{name!r} is already the name of {seen[name]}."
        seen[name] = path.removesuffix(".name")
    for index, file in enumerate(job.outputs):
        if not is_kind_name(file.kind):
            yield f"outputs[{index}].kind", f"{file.kind!r} is not a word of letters, digits and `_`, a letter first."
        if file.publish_as is not None and (problem := _name_problem(file.publish_as)):
            yield f"outputs[{index}].as", problem
        if len(f".{file.published_name}.{job.label}.{PARTS}.part".encode()) > MAX_NAME_BYTES:
            yield f"outputs[{index}].name", f"with {job.label!r} it makes a name of more than {MAX_NAME_BYTES} bytes."


def _name_problem(name: str) -> str:
    if not name or name in (".", ".."):
        return f"{name!r} cannot be a file name."
    if _FORBIDDEN_IN_NAMES.search(name):
        return f"{name!r} must be a plain file name in the work directory, without `/`, `?` or control characters."
    if name == "core" or name.startswith("core."):
        return f"{name!r} would be deleted by the pilot, which takes it for a core dump."
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"{name[:20]!r}... has more than {MAX_NAME_BYTES} bytes."
    return ""


def _urls(job: Job) -> Problems:
    lists = [(f"inputs[{index}].sources", file.sources) for index, file in enumerate(job.inputs)]
    if job.log is not None:
        lists.append(("log.destinations", job.log.destinations))
    for path, urls in lists:
        if not urls:
            yield path, "at least one URL is needed."
    lists += [(f"outputs[{index}].destinations", file.destinations) for index, file in enumerate(job.outputs)]
    for path, urls in lists:
        for index, url in enumerate(urls):
            if problem := registry.why_unusable(url):
                yield f"{path}[{index}]", problem


def _targets(job: Job) -> Problems:
    """Two files may not be published in one place: the later would replace the earlier."""
    files = [(f"outputs[{i}]", file.published_name, file.destinations) for i, file in enumerate(job.outputs)]
    if job.log is not None:
        files.append(("log", archive_name(job), job.log.destinations))
    taken: dict[str, str] = {}
    for path, name, destinations in files:
        for index, url in enumerate(destinations):
            target = join(url, name) if is_folder(url) else url
            if taken.setdefault(target, path) != path:
                yield f"{path}.destinations[{index}]", f"{target} is already where {taken[target]} goes."


def _values(job: Job) -> Problems:
    if job.attempt < 1:
        yield "attempt", f"attempts count from 1; found {job.attempt}."
    for index, file in enumerate(job.inputs):
        if file.adler32 is not None and not _ADLER32.fullmatch(file.adler32):
            yield f"inputs[{index}].adler32", f"{file.adler32!r} is not 8 hexadecimal digits."
        for name in ("size", "events"):
            if (getattr(file, name) or 0) < 0:
                yield f"inputs[{index}].{name}", f"it cannot be negative; found {getattr(file, name)}."
    for name in job.limits.__struct_fields__:
        value = getattr(job.limits, name)
        smallest = 0 if name in MAY_BE_ZERO else 1e-3
        if value is not None and not smallest <= value <= MAX_LIMIT:
            yield (
                f"limits.{name}",
                f"{value} is not between {smallest:g} and {MAX_LIMIT:g}; leave it out for no limit.",
            )
    if job.log is not None and job.log.max_bytes < MIN_ARCHIVE_BYTES:
        yield (
            "log.max_bytes",
            f"{job.log.max_bytes} is too small for a useful archive; use {MIN_ARCHIVE_BYTES} or more.",
        )
    if job.law is not None:
        try:
            event_balance.parse(job.law)
        except UsageError as error:
            yield "law", str(error)


def _report(job: Job) -> Problems:
    """Nothing of this is quoted: the address may hold a password, and the token is one."""
    if job.report is None:
        return
    try:
        parts = urlsplit(job.report.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or _CONTROL.search(job.report.url):
        yield "report.url", "it must be an http or https address."
    elif parts.username is not None or parts.password is not None:
        yield "report.url", "it must not hold a user or a password; the token is for that."
    if not _TOKEN.fullmatch(job.report.token):
        yield "report.token", "a token has only printable ASCII characters, no blank and no newline."
