"""Failed attempts: counted, and those that no rule knows."""

from __future__ import annotations

from pilotext.api.schemas.errors import ErrorList, ErrorQuery
from pilotext.api.schemas.rules import SignatureList, SignatureQuery
from pilotext.server.api.base import ApiController, Query, operation
from pilotext.server.production.lookup import no_such_word
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.errors import ERROR_FIELDS, list_errors, list_signatures
from pilotext.server.times import earlier, from_seconds, later, now

WEEK_S = 7 * 86400.0


class ErrorsController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[ErrorQuery]) -> ErrorList:
        """Count failures."""
        asked = parsed_query
        by = [word.strip() for word in asked.by.split(",") if word.strip()]
        for word in by:
            if word not in ERROR_FIELDS:
                raise no_such_word(f"count by {word}", [f"count by {each}" for each in ERROR_FIELDS])
        if not by:
            raise RefusalError("invalid", f"`by` is empty; choose from {', '.join(ERROR_FIELDS)}.")
        until = from_seconds(asked.until) if asked.until is not None else later(now(), 1)
        since = from_seconds(asked.since) if asked.since is not None else earlier(until, WEEK_S)
        return list_errors(by=by, since=since, until=until, task=asked.task, site=asked.site, code=asked.code)


class SignaturesController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[SignatureQuery]) -> SignatureList:
        """List failures that no rule knows."""
        return list_signatures(experiment=parsed_query.experiment, limit=parsed_query.limit)
