"""Structured logs: one JSON document a line, on stderr, without what looks like a secret."""

from __future__ import annotations

import json
import logging
import sys
import time

from pilotext.redaction import Redactor
from pilotext.sanitize import printable_json

_SECRETS = Redactor()


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _SECRETS.text(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = _SECRETS.text(self.formatException(record.exc_info))
        return printable_json(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")).decode()


def set_up(level: str = "INFO") -> None:
    """Send everything from `level` upwards to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("django.request").setLevel(
        logging.ERROR
    )  # anybody can make refused requests: they are not logged as errors
