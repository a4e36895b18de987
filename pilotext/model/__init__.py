"""Records that travel, without logic: a Job goes in, a Report comes out.

All are frozen. Files and messages are JSON with the field names as written here; `pilotext.serialization.json` reads
them and names the field that is wrong. Sizes are bytes, times are seconds (points in time: seconds since 1970, UTC),
memory limits MB of 10^6 bytes, checksums adler32 as 8 hexadecimal digits.
"""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record that travels; an unknown field is an error."""
