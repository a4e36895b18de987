"""Merged runs: where each is, and what people decide about it."""

from __future__ import annotations

import msgspec

from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.runs import ProductFilter, ProductList, ProductRow
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production.merging.decisions import move_product
from pilotext.server.production.statistics.runs import describe_product, list_products
from pilotext.server.production.transitions import Reason


def products(call: Call) -> ProductList:
    asked: ProductFilter = call.body
    return list_products(**msgspec.structs.asdict(asked))


def product(call: Call) -> ProductRow:
    return describe_product(call.number("product"))


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
