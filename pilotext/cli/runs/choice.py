"""Options that choose runs or merged products of a task, and the request for the products."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.fields import words_of
from pilotext.api.schemas.runs import ProductList, ProductRow, ProductState, RunList
from pilotext.cli.arguments import add_choice
from pilotext.cli.connection import fetch_rows

MAX_PRODUCTS = 1_000_000
"""More than a task has."""


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the task, and what chooses some of its runs."""
    parser.add_argument("task", metavar="TASK", help="the name of the task")
    parser.add_argument("--run", type=int, metavar="N", help="only this run")
    add_choice(parser, "--state", words_of(ProductState), "only runs with a product in this state")


def add_merge(parser: argparse.ArgumentParser) -> None:
    """Add the kind of merge, which chooses products."""
    parser.add_argument("--merge", metavar="MERGE", help="only products of this merge, such as reco")


def fetch_products(
    client: Client,
    task: str,
    *,
    run: int | None = None,
    merge: str | None = None,
    state: str | None = None,
    limit: int = MAX_PRODUCTS,
) -> list[ProductRow]:
    """Return the chosen products of a task. The server refuses a task that does not exist."""
    client.get("/api/v1/runs", RunList, {"task": task, "limit": 1})
    query = {"task": task, "run": run, "merge": merge, "state": state}
    return fetch_rows(client, "/api/v1/products", ProductList, query, name="products", limit=limit)
