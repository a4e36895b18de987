"""Source of a job: a file, standard input, a word on the command line, or a web server."""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from pilotext.api.http import RETRYABLE_STATUSES
from pilotext.errors import FieldError, UsageError
from pilotext.model.job import Job
from pilotext.serialization.json import from_plain
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import no_tick, pause
from pilotext.worker.bounded import NotInTimeError, bounded
from pilotext.worker.job_checks import check

MAX_JOB_BYTES = 16 << 20
WITHIN_S = 60.0
"""Of one try, from its begin to the last byte; half of it is the longest silence."""

PATIENCE = Policy(tries=4, first_wait_s=2.0)
_CHUNK = 1 << 16


class _NotNowError(Exception):
    """Another try may find it."""


class _NeverError(Exception):
    """Another try would find the same."""


def fetch(
    url: str,
    *,
    policy: Policy = PATIENCE,
    within_s: float = WITHIN_S,
    max_bytes: int = MAX_JOB_BYTES,
    tick: Callable[[], None] = no_tick,
) -> bytes:
    """The document at an http or https address; servers that are away or busy get further tries.

    `tick` is called several times a second and may raise. Raises UsageError, without what follows `?` in the address,
    since that may hold a secret.
    """
    for number in range(1, policy.tries + 1):
        try:
            return bounded(lambda: _get(url, within_s, max_bytes), within_s=within_s, tick=tick)
        except (_NeverError, NotInTimeError) as error:  # a try that did not end lives on in its thread: no second one
            raise UsageError(f"{_shown(url)}: the job cannot be fetched: {error}.") from None
        except _NotNowError as error:
            problem = str(error)
        if number < policy.tries:
            pause(policy.wait_s(number), tick)
    raise UsageError(f"{_shown(url)}: the job cannot be fetched: {problem}, in {policy.tries} tries.")


def _get(url: str, within_s: float, max_bytes: int) -> bytes:
    import requests  # noqa: PLC0415  costs a tenth of a second, and most jobs come from a file

    if re.search(r"\s", url):  # older releases of requests fail with an unclear error for such a host
        raise _NeverError("the address has a space in it; write it as %20")
    data = bytearray()
    try:
        with requests.get(url, timeout=within_s / 2, stream=True) as answer:
            _judge(answer.status_code)
            for chunk in answer.iter_content(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise _NeverError(f"the answer is larger than {max_bytes} bytes")
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise _NeverError("this is not an address that begins with http:// or https://") from None
    except requests.TooManyRedirects:
        raise _NeverError("the server sends from one address to the next") from None
    except requests.exceptions.SSLError:
        raise _NeverError("the server's certificate is not one that this node trusts") from None
    except requests.Timeout:
        raise _NotNowError("the server does not answer") from None
    except (requests.RequestException, ValueError) as error:  # urllib3's errors of form are ValueErrors
        raise _NotNowError(f"{_why(error)} ({type(error).__name__})") from None
    return bytes(data)


def _judge(status: int) -> None:
    if status in RETRYABLE_STATUSES:
        raise _NotNowError(f"the server answers with status {status}")
    if status != 200:
        raise _NeverError(f"the server answers with status {status}")


def _why(error: Exception) -> str:
    import requests  # noqa: PLC0415

    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "the answer is cut or damaged"
    return "the server cannot be reached"


def _shown(url: str) -> str:
    """The address without what may be secret: a user's name and password, and the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "--job-url"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}{'?...' if parts.query else ''}" if place else url.partition("?")[0]


_WORD_OF_PATH = re.compile(r"\.\.?/(?!.*(?:\s|//))")


def read_file(path: Path) -> Job:
    """Read and check a job file.

    In a file, paths that begin with `./` or `../` in `command` and `setup`, and URLs like `file:../raw/x.raw`, are
    relative to the folder of the file; so are those of steps. Raises UsageError or FieldError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the job file cannot be read: {error.strerror}.") from None
    return _decode(data, where=str(path), folder=path.resolve().parent)


def take_token_out(path: Path) -> str:
    """Take the token of the report out of a job file that was read: the payload could read it there.

    Returns an empty string, or the sentence that says why it still stands there.
    """
    try:
        document = msgspec.json.decode(path.read_bytes())
        document["report"]["token"] = ""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path.resolve())
    except OSError as error:
        return f"{path}: the token of the report stays in this file, where the payload may read it: {error.strerror}."
    return ""


def read_stream(stream: IO[bytes]) -> Job:
    """Read and check a job given on a stream, for example stdin. Raises UsageError or FieldError."""
    data = stream.read(MAX_JOB_BYTES + 1)
    if len(data) > MAX_JOB_BYTES:
        raise UsageError(f"the job on stdin has more than {MAX_JOB_BYTES} bytes.")
    return _decode(data, where="stdin", folder=None)


def read_spec(spec: str) -> Job:
    """Read and check a job given as the Base64 text of its JSON document, as pilots pass it in the job parameters."""
    try:
        data = base64.b64decode(spec, validate=True)
    except ValueError as error:  # not Base64, or not even ASCII
        raise UsageError(
            f"--spec is not Base64 text: {error}.", advice="Encode it with `base64 -w0 JOB.json`."
        ) from None
    job = _decode(data, where="--spec", folder=None)
    if job.report is not None and job.report.token:
        advice = "Every user of the node can read it there; give the job by a file, on stdin, or by --job-url."
        raise FieldError(
            "report.token", "a token must not be given on the command line.", where="--spec", advice=advice
        )
    return job


def read_url(url: str, policy: Policy = PATIENCE, tick: Callable[[], None] = no_tick) -> Job:
    """Fetch and check the job that a server offers under an http or https address.

    A ticket in the address stands in the list of processes, too. It is used once, and together with a word that nobody
    else knows, so that only we can ask again. `tick` is called several times a second meanwhile and may raise.
    """
    if re.search(r"[?&]ticket=", url):
        url = f"{url}&claim={secrets.token_hex(16)}"
    return _decode(fetch(url, policy=policy, tick=tick), where="the job of --job-url", folder=None)


def _decode(data: bytes, where: str, folder: Path | None) -> Job:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldError("", f"this is not a JSON document: {error}.", where=where) from None
    if folder is not None and isinstance(plain, dict):
        plain = _resolved(plain, folder)
    job = from_plain(plain, Job, where=where)
    check(job, where=where)
    return job


# --------------------------------------------------------------------------------------------------- relative paths


def _resolved(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with its relative places made absolute; what is not as it should be is left to the decoder."""
    resolved = dict(document)
    resolved |= _with_absolute_paths(document, folder)
    if isinstance(document.get("steps"), list):
        resolved["steps"] = [_with_absolute_paths(step, folder) for step in document["steps"]]
    for field, urls in (("inputs", "sources"), ("outputs", "destinations")):
        if isinstance(document.get(field), list):
            resolved[field] = [_with_absolute_urls(file, urls, folder) for file in document[field]]
    resolved["log"] = _with_absolute_urls(document.get("log"), "destinations", folder)
    return {name: value for name, value in resolved.items() if name in document}


def _with_absolute_paths(program: Any, folder: Path) -> Any:
    if not isinstance(program, dict):
        return program
    paths = {field: _each(program[field], folder, _absolute_path) for field in ("command", "setup") if field in program}
    return {**program, **paths}


def _with_absolute_urls(file: Any, urls: str, folder: Path) -> Any:
    if not isinstance(file, dict) or urls not in file:
        return file
    return {**file, urls: _each(file[urls], folder, _absolute_url)}


def _each(value: Any, folder: Path, make_absolute: Callable[[str, Path], str]) -> Any:
    if isinstance(value, list):
        return [make_absolute(word, folder) if isinstance(word, str) else word for word in value]
    return make_absolute(value, folder) if isinstance(value, str) else value


def _absolute_path(text: str, folder: Path) -> str:
    return str((folder / text).resolve()) if _WORD_OF_PATH.match(text) else text


def _absolute_url(text: str, folder: Path) -> str:
    if not text.startswith(("file:./", "file:../")):
        return text
    slash = "/" if text.endswith("/") else ""
    return f"file://{(folder / text.removeprefix('file:')).resolve()}{slash}"
