"""What is true of a service, and where a scan says something else."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab._services import Service


@dataclass(frozen=True, slots=True)
class Truth:
    """What a scan must say for one check.

    Args:
        check: its id.
        verdict: as findings spell it.
        severity: "none" unless the verdict is VIOLATED.
        variants: the verdict of each variant, for checks that have them.
        why: why this is true, in words.
    """

    check: str
    verdict: str
    severity: str = "none"
    variants: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} {self.severity}" if self.severity != "none" else self.verdict


def truths(service: Service) -> dict[str, Truth]:
    """What the service's expected.toml says, by check."""
    said = tomllib.loads((service.folder / "expected.toml").read_text())
    return {check: Truth(check=check, **facts) for check, facts in said.items()}


def mismatches(findings: Sequence[Mapping[str, Any]], expected: Mapping[str, Truth]) -> list[str]:
    """Every difference between the `findings` of a JSON report and the truth, a sentence each; none if it is exact."""
    found = {finding["check"]: finding for finding in findings}
    said = [f"{check}: not in the report, expected {truth}" for check, truth in expected.items() if check not in found]
    for check, finding in found.items():
        said += _difference(finding, expected[check]) if check in expected else [f"{check}: not in expected.toml"]
    return said


def _difference(finding: Mapping[str, Any], truth: Truth) -> list[str]:
    got = Truth(truth.check, finding["verdict"], finding["severity"] or "none")
    said = [f"{truth.check}: {got}, expected {truth}"] if str(got) != str(truth) else []
    variants = _variants(finding)
    return said + [
        f"{truth.check}, variant {variant}: {variants.get(variant, 'missing')}, expected {verdict}"
        for variant, verdict in truth.variants.items()
        if variants.get(variant) != verdict
    ]


def _variants(finding: Mapping[str, Any]) -> dict[str, str]:
    """The verdict of every variant, wherever a variant is more than its verdict."""
    said = finding["evidence"].get("variants", {})
    return {name: fact if isinstance(fact, str) else fact["verdict"] for name, fact in said.items()}
