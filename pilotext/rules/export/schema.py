"""JSON Schema of rule files, for editors that complete and check them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pilotext.rules.schema import CONDITION_KINDS, RuleFile
from pilotext.serialization.schema import same_everywhere


def schema_text() -> str:
    """Return the document, made from the types that rule files are decoded to."""
    plain: dict[str, Any] = msgspec.json.schema(RuleFile, ref_template="#/$defs/{name}")
    rule = plain["$defs"]["RuleText"]
    rule["oneOf"] = [{"required": [kind]} for kind in (*CONDITION_KINDS, "any")]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of pilotext",
    }
    return json.dumps(head | same_everywhere(plain), indent=2, ensure_ascii=False) + "\n"
