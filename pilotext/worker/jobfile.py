"""A job from a file, a web address or a command line, checked whole before anything is started."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pilotext.decode import from_plain
from pilotext.errors import FieldError, UsageError
from pilotext.model import Job
from pilotext.rules import law
from pilotext.storage import registry
from pilotext.worker.payload import STDERR_NAME, STDOUT_NAME
from pilotext.worker.report import REPORT_NAMES

_FORBIDDEN_IN_NAMES = re.compile(r"[/\x00-\x1f\x7f]")
_ADLER32 = re.compile(r"[0-9a-fA-F]{8}")
_TAKEN_NAMES = frozenset({STDOUT_NAME, STDERR_NAME, *REPORT_NAMES})
_FETCH_TIMEOUT_S = 60.0


def read_file(path: Path) -> Job:
    """Read and check a job file.

    In a file, paths that begin with `./` or `../` in `command` and `setup`, and URLs like `file:../raw/x.raw`, are
    relative to the folder of the file. Raises UsageError or FieldError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the job file cannot be read: {error.strerror}.") from None
    return _decode(data, where=str(path), folder=path.resolve().parent)


def read_spec(spec: str) -> Job:
    """Read and check a job given as the Base64 text of its JSON document, as pilots pass it in the job parameters."""
    try:
        data = base64.b64decode(spec, validate=True)
    except binascii.Error as error:
        raise UsageError(
            f"--spec is not Base64 text: {error}.", advice="Encode it with `base64 -w0 JOB.json`."
        ) from None
    return _decode(data, where="--spec", folder=None)


def read_url(url: str) -> Job:
    """Fetch and check the job that a server offers under an http or https address."""
    import requests  # noqa: PLC0415  costs a tenth of a second, and most jobs come from a file

    try:
        answer = requests.get(url, timeout=_FETCH_TIMEOUT_S)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise UsageError(f"{url}: the job cannot be fetched: {error}.") from None
    return _decode(answer.content, where=url, folder=None)


def _decode(data: bytes, where: str, folder: Path | None) -> Job:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FieldError("", f"this is not a JSON document: {error}.", where=where) from None
    if folder is not None:
        plain = _resolved(plain, folder)
    job = from_plain(plain, Job, where=where)
    check(job, where=where)
    return job


# --------------------------------------------------------------------------------------------------- relative paths


def _resolved(value: Any, folder: Path) -> Any:
    """The document with its relative paths made absolute; only whole strings in the fields that hold places."""
    if not isinstance(value, dict):
        return value
    places = {
        "command": _absolute_path,
        "setup": _absolute_path,
        "sources": _absolute_url,
        "destinations": _absolute_url,
    }
    return {
        name: _apply(places[name], field, folder) if name in places else _inside(field, folder)
        for name, field in value.items()
    }


def _inside(value: Any, folder: Path) -> Any:
    return [_resolved(each, folder) for each in value] if isinstance(value, list) else _resolved(value, folder)


def _apply(make_absolute: Any, value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_apply(make_absolute, each, folder) for each in value]
    return make_absolute(value, folder) if isinstance(value, str) else value


def _absolute_path(text: str, folder: Path) -> str:
    return str((folder / text).resolve()) if text.startswith(("./", "../")) else text


def _absolute_url(text: str, folder: Path) -> str:
    if not text.startswith(("file:./", "file:../")):
        return text
    slash = "/" if text.endswith("/") else ""
    return "file://" + _absolute_path(text.removeprefix("file:"), folder) + slash


# ----------------------------------------------------------------------------------------------------------- checks


def check(job: Job, *, where: str = "") -> None:
    """Raise FieldError for the first field whose value cannot be meant."""
    for path, message in _problems(job):
        raise FieldError(path, message, where=where)


def _problems(job: Job) -> Iterator[tuple[str, str]]:
    yield from _command_problems(job)
    yield from _name_problems(job)
    yield from _url_problems(job)
    yield from _value_problems(job)


def _command_problems(job: Job) -> Iterator[tuple[str, str]]:
    if not job.command or not job.command[0]:
        yield "command", "the command is empty; its first word is the program."
    for index, word in enumerate(job.command):
        if "\0" in word:
            yield f"command[{index}]", "it holds a NUL byte."
    if job.setup is not None and not job.setup.startswith("/"):
        yield "setup", f"the setup script {job.setup!r} must be an absolute path."
    for name, value in job.environment.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"environment.{name}", "this cannot be an environment variable."


def _name_problems(job: Job) -> Iterator[tuple[str, str]]:
    named = [(f"inputs[{index}].name", file.name) for index, file in enumerate(job.inputs)]
    named += [(f"outputs[{index}].name", file.name) for index, file in enumerate(job.outputs)]
    seen: dict[str, str] = {}
    for path, name in named:
        if problem := _name_problem(name):
            yield path, problem
        if name in _TAKEN_NAMES:
            yield path, f"{name!r} is a file of pilotext itself; choose another name."
        if name in seen:
            yield path, f"{name!r} is already the name of {seen[name]}."
        seen[name] = path.removesuffix(".name")
    published = [(f"outputs[{i}].as", file.publish_as) for i, file in enumerate(job.outputs)]
    published.append(("log.name", job.log.name if job.log else None))
    for path, other in published:
        if other is not None and (problem := _name_problem(other)):
            yield path, problem


def _name_problem(name: str) -> str:
    if not name or name in (".", ".."):
        return f"{name!r} cannot be a file name."
    if _FORBIDDEN_IN_NAMES.search(name):
        return f"{name!r} must be a plain file name in the work directory, without `/` or control characters."
    if name == "core" or name.startswith("core."):
        return f"{name!r} would be deleted by the pilot, which takes it for a core dump."
    return ""


def _url_problems(job: Job) -> Iterator[tuple[str, str]]:
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
    if job.report is not None and not job.report.url.startswith(("http://", "https://")):
        yield "report.url", f"{job.report.url!r} must be an http or https address."


def _value_problems(job: Job) -> Iterator[tuple[str, str]]:
    if job.attempt < 1:
        yield "attempt", f"attempts count from 1; found {job.attempt}."
    if _FORBIDDEN_IN_NAMES.search(job.task) or not job.task:
        yield "task", f"{job.task!r} must be a name without `/`, since it becomes part of file names."
    for index, file in enumerate(job.inputs):
        if file.adler32 is not None and not _ADLER32.fullmatch(file.adler32):
            yield f"inputs[{index}].adler32", f"{file.adler32!r} is not 8 hexadecimal digits."
        for name in ("size", "events"):
            if (getattr(file, name) or 0) < 0:
                yield f"inputs[{index}].{name}", f"it cannot be negative; found {getattr(file, name)}."
    for name in job.limits.__struct_fields__:
        value = getattr(job.limits, name)
        if value is not None and not value >= 0:
            yield f"limits.{name}", f"it cannot be negative; found {value}."
    if job.law is not None:
        try:
            law.parse(job.law)
        except UsageError as error:
            yield "law", str(error)
