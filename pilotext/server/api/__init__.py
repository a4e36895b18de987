"""The API under `/api/v1`: controllers of django-modern-rest, one file a resource; `panda/` is PanDA's pilot protocol.

A controller is a class with `get` and `post`; `@operation` says who may call and how large the body may be. Parameters
and answers are records of `pilotext.api.schemas`; the OpenAPI document is made of the same.
"""
