"""Merged runs through the API."""

from __future__ import annotations

import pytest

from pilotext.storage.memory import MemoryStorage
from tests.server.api.test_api import Caller
from tests.server.merged import EVENTS, cycle, do, do_all, storage, submit_runs
from tests.server.support import leased

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


def test_a_held_run_is_found_and_decided_on(storage: MemoryStorage) -> None:
    submit_runs({7: 2, 8: 1})
    do_all(storage)
    cycle()
    do(leased(), storage, events=1)
    do_all(storage)
    cycle(2)
    expert = Caller("expert")
    _, found = expert.get("/api/v1/products?state=manual")
    (held,) = found["products"]
    assert (held["run"], held["merge"]) == (7, "mdst")
    assert "the merged files hold 1 event, the chunks 200." in held["finding"]
    path = f"/api/v1/products/{held['product']}"
    assert expert.post(f"{path}/move", {"to": "remerge", "why": "bad luck"}) == (200, {"moved": [held["product"]]})
    cycle()
    do_all(storage)
    cycle(2)
    status, row = expert.get(path)
    assert (status, row["state"], row["events"], row["round"]) == (200, "kept", 2 * EVENTS, 2)
    (file,) = row["files"]
    assert (file["name"], file["inputs"], file["kept"][:14]) == ("mDST-7-0-7.root", 2, "memory://tape/")


def test_products_are_listed_page_by_page(storage: MemoryStorage) -> None:
    submit_runs(dict.fromkeys(range(1, 6), 1))
    viewer = Caller("viewer")
    _, first = viewer.get("/api/v1/products?limit=3&task=t1")
    _, rest = viewer.get(f"/api/v1/products?limit=3&after={first['next']}")
    assert [row["run"] for row in first["products"] + rest["products"]] == [1, 2, 3, 4, 5]
    assert rest["next"] is None
    assert viewer.get("/api/v1/products?task=other")[0] == 404
    assert storage.files == {}


@pytest.mark.parametrize(
    ("role", "product", "to", "status"),
    [("viewer", 1, "remerge", 403), ("expert", 99, "remerge", 404), ("expert", 1, "forget", 422)],
)
def test_what_may_not_be_decided_changes_nothing(
    storage: MemoryStorage, role: str, product: int, to: str, status: int
) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    caller = Caller(role)
    _, before = caller.get("/api/v1/products")
    assert caller.post(f"/api/v1/products/{product}/move", {"to": to, "why": "to see"})[0] == status
    assert caller.get("/api/v1/products")[1] == before


def test_there_is_no_page_of_a_product_that_is_not_there() -> None:
    assert Caller("viewer").get("/api/v1/products/5")[0] == 404
