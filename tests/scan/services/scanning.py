"""Plans for a desk, and scans of it by the real runner over real sockets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scan.services.desk import SECRET, Desk
from tests.scan.services.plans import merged
from tests.scan.services.serving import serving
from tocsin.events import BurstCollected, Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import Finding
from tocsin.scan import CHECKS, Options, Plan, addresses, authorise, plan_from_tables, rehearse, run, senders

DUPLICATES = "concurrent-duplicate"
REPLAYS = "sequential-replay"
LIMITS = "over-allocation"
BEFORE = "effect-before-verification"
BYPASS = "signature-bypass"
FIVE = (DUPLICATES, REPLAYS, LIMITS, BEFORE, BYPASS)


HERE = Path()


@dataclass(frozen=True)
class Scan:
    """What a scan has said."""

    events: tuple[Event, ...]

    @property
    def started(self) -> RunStarted:
        return next(event for event in self.events if isinstance(event, RunStarted))

    @property
    def ended(self) -> RunEnded:
        return next(event for event in self.events if isinstance(event, RunEnded))

    @property
    def findings(self) -> dict[str, Finding]:
        return {event.finding.check: event.finding for event in self.events if isinstance(event, FindingMade)}

    @property
    def finding(self) -> Finding:
        [finding] = self.findings.values()
        return finding

    @property
    def bursts(self) -> list[BurstCollected]:
        return [event for event in self.events if isinstance(event, BurstCollected)]

    def fact(self, *path: str) -> Any:
        """A fact in the evidence of the only finding."""
        found: Any = self.finding.evidence.facts
        for step in path:
            found = found[step]
        return found


def tables(desk: Desk, **changed: Any) -> dict[str, Any]:
    """A plan for a desk, with changes; see `merged`."""
    plan: dict[str, Any] = {
        "target": {"base_url": desk.base_url},
        "request": {
            "method": "POST",
            "path": "/order",
            "headers": {"Content-Type": "application/json"},
            "body": '{"order_id":"{{uuid}}","item":"{{item}}"}',
        },
        "signing": {"preset": "hex-sha256-body", "secret": {"value": SECRET}},
        "setup": [{"request": "POST /items", "extract": {"item": "/item"}}],
        "state": [
            {"name": "stock", "request": "GET /items/{{item}}", "pointer": "/stock", "per_effect": -1, "settle_ms": 0}
        ],
        "limits": {"effects": 5, "per": ["item"], "floor": 0},
        "reset": {"request": "POST /__reset"},
        "budget": {"seconds": 10},
    }
    return merged(plan, changed)


def planned(desk: Desk, *, accept_effects: int | None = None, **changed: Any) -> Plan:
    """The plan, understood and authorised."""
    plan = plan_from_tables(tables(desk, **changed), "desk.toml")
    rehearse(plan)
    return authorise(plan, [], accept_effects=accept_effects, allow_oracle=("sql", "command", "file"))


def scan(
    desk: Desk,
    *checks: str,
    seed: int = 1,
    accept_effects: int | None = None,
    folder: Path = HERE,
    **changed: Any,
) -> Scan:
    """Scan a desk that is open for as long."""
    with serving(desk):
        of = planned(desk, accept_effects=accept_effects, **changed)
        return run_plan(of, *checks, seed=seed, folder=folder)


def run_plan(plan: Plan, *checks: str, seed: int = 1, folder: Path = HERE) -> Scan:
    """Scan what a plan says, wherever it is."""
    events: list[Event] = []
    chosen = [check for check in CHECKS if check.id in checks]
    secret, *others = senders(plan, folder)
    options = Options(chosen, seed, ("tocsin", "scan", "desk.toml"))
    run(plan, secret, addresses(plan), options, events.append, others=others, folder=folder)
    return Scan(tuple(events))


# One number for everything that the desk has sold, instead of a stock for each item.
TOTAL = {"name": "taken", "request": "GET /count", "pointer": "/count", "settle_ms": 0}
