"""What a server itself says about its files, asked without any code of the storage package."""

from __future__ import annotations

import importlib
from urllib.parse import urlsplit


def server_adler32(url: str) -> str:
    """The checksum that the server computes for a file, as 8 hexadecimal digits."""
    client = importlib.import_module("XRootD.client")  # it has no types
    query_code = importlib.import_module("XRootD.client.flags").QueryCode
    parts = urlsplit(url)
    status, answer = client.FileSystem(f"root://{parts.netloc}").query(query_code.CHECKSUM, parts.path[1:])
    assert status.ok, status.message
    kind, number = answer.split(b"\0", 1)[0].decode().split()
    assert kind == "adler32"
    return f"{int(number, 16):08x}"
