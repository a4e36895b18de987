"""Merged runs: where each is, and what people decide about it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotext.managing import ProductState
from pilotext.messages import Move, Moved, ProductList, ProductRow
from pilotext.model import Record
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production import product_lists
from pilotext.server.production.advance import Reason
from pilotext.server.production.product_decisions import move_product


class ProductFilter(Record, frozen=True):
    """Which products: `after` is the id behind which the page begins."""

    task: str | None = None
    run: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    merge: str | None = None
    state: ProductState | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


def products(call: Call) -> ProductList:
    asked: ProductFilter = call.body
    return product_lists.products(**msgspec.structs.asdict(asked))


def product(call: Call) -> ProductRow:
    return product_lists.product(call.number("product"))


def move(call: Call) -> Moved:
    asked: Move = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: move_product(call.number("product"), asked.to, reason))))


ENDPOINTS = (
    Endpoint("GET", "/api/v1/products", "viewer", ProductList, products, "A page of merged runs.", query=ProductFilter),
    Endpoint("GET", "/api/v1/products/{product}", "viewer", ProductRow, product, "A merged run with its files."),
    Endpoint(
        "POST",
        "/api/v1/products/{product}/move",
        "expert",
        Moved,
        move,
        "Merge a run without its hopeless chunks, merge it anew, or accept what its cross-check refused.",
        Move,
    ),
)
