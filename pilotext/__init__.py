"""Payload wrapper and error classifier: every grid job ends with one verdict that can be trusted and acted on."""

__version__ = "0.1.0"
