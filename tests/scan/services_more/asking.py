"""Runs one check against a shop, as a scan does, and gives its finding."""

from collections.abc import Mapping
from typing import Any

from tests.scan.services_more.shop import SECRET, Shop, serving
from tocsin.events import Event, FindingMade
from tocsin.findings import Finding
from tocsin.scan import Options, addresses, authorise, plan_from_tables, run
from tocsin.scan._check import Check
from tocsin.signing import Secret

BODY = '{"id":"{{uuid}}","item":"sku-1","qty":1}'


def tables(shop: Shop, **changed: Any) -> dict[str, Any]:
    """A plan for a shop; sections are merged key by key, None takes one away."""
    plan: dict[str, Any] = {
        "target": {"base_url": shop.base_url},
        "request": {
            "method": "POST",
            "path": "/orders",
            "headers": {"Content-Type": "application/json"},
            "body": BODY,
        },
        "signing": {"content": "{body}", "secret": {"value": SECRET}},
        "state": [{"name": "orders", "request": "GET /count", "pointer": "/count", "settle_ms": 0}],
        "reset": {"request": "POST /reset"},
        "budget": {"seconds": 30},
    }
    for section, values in changed.items():
        if values is None:
            del plan[section]
        elif isinstance(values, Mapping) and section in plan:
            plan[section] = plan[section] | values
        else:
            plan[section] = values
    return plan


def ask(check: Check, shop: Shop, **changed: Any) -> Finding:
    """The finding of one check on a shop that runs for as long."""
    with serving(shop):
        plan = authorise(plan_from_tables(tables(shop, **changed), "a test's plan"), [], accept_effects=None)
        events: list[Event] = []
        run(plan, Secret(SECRET.encode()), addresses(plan), Options([check], 1, ("tocsin", "scan")), events.append)
    return next(event.finding for event in events if isinstance(event, FindingMade))


def fact(finding: Finding, *path: str) -> Any:
    """A fact in a finding's evidence."""
    found: Any = finding.evidence.facts
    for step in path:
        found = found[step]
    return found
