"""JSON Schemas of rule files and profiles, for editors that complete and check them."""

from __future__ import annotations

import json
from typing import Any

from pilotext.model.job import KINDS, LIMITS
from pilotext.model.verdict import FINDINGS
from pilotext.profile.records import Experiment
from pilotext.rules.conditions import CONDITION_KINDS
from pilotext.rules.lint.conditions import OWN_STREAMS, SIGNALS
from pilotext.rules.schema import RuleFile
from pilotext.serialization.schema import described_schema, same_everywhere

RULE_KEYS = [*CONDITION_KINDS, "any"]


def rules_schema() -> str:
    """Return the schema of rule files, made from the types that they are decoded to, with their closed lists."""
    plain = described_schema(RuleFile)
    records = plain["$defs"]
    records["RuleText"]["oneOf"] = [{"required": [kind]} for kind in RULE_KEYS]
    records["Condition"]["oneOf"] = [{"required": [kind]} for kind in CONDITION_KINDS]
    for name in ("RuleText", "Condition"):
        fields = records[name]["properties"]
        fields["limit"] = _one_of(fields["limit"], LIMITS)
        fields["finding"] = _one_of(fields["finding"], sorted(FINDINGS))
        fields["stream"] = _one_of(fields["stream"], OWN_STREAMS, r"[.*?/]")
    records["RuleText"]["properties"]["since"]["format"] = "date"
    counted = records["CounterText"]["properties"]
    counted["stream"] = _one_of(counted["stream"], OWN_STREAMS, r"[.*?/]")
    records["ExitCondition"]["properties"]["signals"]["items"] = {"enum": [*SIGNALS]}
    records["RuleFile"]["properties"]["format"]["const"] = 1
    return document(plain, "Rules of pilotext")


def profile_schema() -> str:
    """Return the schema of profiles, `experiment.yaml`."""
    plain = described_schema(Experiment)
    job_type = plain["$defs"]["JobType"]
    # A type that is `like` another one takes its required fields from there.
    job_type["anyOf"] = [{"required": job_type.pop("required")}, {"required": ["like"]}]
    job_type["properties"]["kind"] = _one_of(job_type["properties"]["kind"], KINDS, r".")
    plain["$defs"]["Experiment"]["properties"]["format"]["const"] = 1
    return document(plain, "Profile of an experiment of pilotext")


def _one_of(field: dict[str, Any], words: tuple[str, ...] | list[str], pattern: str = "") -> dict[str, Any]:
    """Return the schema of an optional word: one of these, or a text that matches the pattern."""
    kept = {key: value for key, value in field.items() if key in ("description", "default")}
    choices: list[dict[str, Any]] = [{"enum": [*words]}]
    if pattern:
        choices.append({"type": "string", "pattern": pattern})
    return {"anyOf": choices, **kept}


def document(plain: dict[str, Any], title: str) -> str:
    """Return a schema with its head."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps(head | same_everywhere(plain), indent=2, ensure_ascii=False) + "\n"
