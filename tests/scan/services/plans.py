"""The shortest plan there is, to be changed by whoever tests a part of it."""

import json
from collections.abc import Mapping
from typing import Any

from tocsin.scan import Plan, plan_from_tables


def shortest() -> dict[str, Any]:
    """Only what is needed."""
    return {
        "target": {"base_url": "http://127.0.0.1:8000"},
        "request": {"path": "/order", "body": '{"id":"{{uuid}}"}'},
        "signing": {"preset": "hex-sha256-body", "secret": {"env": "ORDERS_SECRET"}},
    }


def merged(document: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's tables with sections merged key by key, or replaced; None takes a section or a key away."""
    result = dict(document)
    for section, values in changed.items():
        if isinstance(values, Mapping) and isinstance(result.get(section), Mapping):
            result[section] = {k: v for k, v in (result[section] | values).items() if v is not None}
        else:
            result[section] = values
    return {section: values for section, values in result.items() if values is not None}


def plan(**changed: Any) -> Plan:
    """The shortest plan with changes."""
    return plan_from_tables(merged(shortest(), changed), "orders.toml")


def toml(document: Mapping[str, Any]) -> str:
    """Tables of JSON values as TOML, for plans are written in it."""
    return "\n".join(f"{json.dumps(key)} = {_inline(value)}" for key, value in document.items())


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value)
