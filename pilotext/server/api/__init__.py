"""The doors: plain functions over records, without Django's request cycle: pilots knock thousands of times a minute.

An endpoint is one `Endpoint` record (`endpoint.py`) in the list of its door, for example `v1/agents.py`. Its body and
its answer are records of `pilotext.api.schemas`; the OpenAPI document is made of the same.
"""
