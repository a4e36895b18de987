"""Converters of parts of addresses; to import this module registers them."""

from __future__ import annotations

from django.urls import register_converter


class NumberConverter:
    """Number of a row in an address; anything else is not found."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(NumberConverter, "number")
