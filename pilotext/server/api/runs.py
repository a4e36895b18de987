"""Runs of tasks and their merged products."""

from __future__ import annotations

import msgspec
from dmr import Path

from pilotext.api.schemas.fields import Id, Move, Moved, Number
from pilotext.api.schemas.runs import ProductFilter, ProductList, ProductRow, RunList, RunPage, RunQuery
from pilotext.model import Record
from pilotext.server.api.base import ApiController, Body, Query, operation
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.statistics.runs import describe_product, describe_run, list_products, list_runs


class RunPath(Record, frozen=True):
    task: Id
    run: Number


class ProductPath(Record, frozen=True):
    product: Id


class RunsController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[RunQuery]) -> RunList:
        """List the runs of a task."""
        asked = parsed_query
        return list_runs(asked.task, run=asked.run, state=asked.state, after=asked.after, limit=asked.limit)


class RunController(ApiController):
    @operation("viewer")
    def get(self, parsed_path: Path[RunPath]) -> RunPage:
        """Return a run of a task: its events, its products, and why they are not further."""
        return describe_run(parsed_path.task, parsed_path.run)


class ProductsController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[ProductFilter]) -> ProductList:
        """List a page of merged runs."""
        return list_products(**msgspec.structs.asdict(parsed_query))


class ProductController(ApiController):
    @operation("viewer")
    def get(self, parsed_path: Path[ProductPath]) -> ProductRow:
        """Return a merged run with its files."""
        return describe_product(parsed_path.product)


class ProductMoveController(ApiController):
    @operation("expert")
    def post(self, parsed_path: Path[ProductPath], parsed_body: Body[Move]) -> Moved:
        """Merge a run without its missing chunks, merge it again, or accept what its cross-check refused."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: move_product(parsed_path.product, parsed_body.to, reason))))
