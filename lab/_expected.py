"""What is true of a service, and where a scan says something else."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab._services import LabError, Service

# A truth that hangs on the machine's load: a scan is right whether it sees the race or not.
EITHER = "either"
_ANSWERS_TO_EITHER = frozenset({"VIOLATED", "NOT_OBSERVED"})


@dataclass(frozen=True, slots=True)
class Truth:
    """What a scan must say for one check.

    Args:
        check: its id.
        verdict: as findings spell it; or "either", where VIOLATED and NOT_OBSERVED are both right, and nothing else.
        severity: "none" unless the verdict is VIOLATED; beside "either", what it is if it is.
        variants: the verdict of each variant, for checks that have them; "either" here too.
        why: why this is true, in words. What is "either" has to say why nothing forces it.
    """

    check: str
    verdict: str
    severity: str = "none"
    variants: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        if self.verdict == EITHER:
            return f"either VIOLATED {self.severity} or NOT_OBSERVED"
        return f"{self.verdict} {self.severity}" if self.severity != "none" else self.verdict

    def admits(self, verdict: str, severity: str) -> bool:
        """Whether a scan that says so is right."""
        if self.verdict == EITHER:
            return verdict in _ANSWERS_TO_EITHER and severity == (self.severity if verdict == "VIOLATED" else "none")
        return (verdict, severity) == (self.verdict, self.severity)


def truths(service: Service) -> dict[str, Truth]:
    """What the service's expected.toml says, by check; of another route, what expected-ROUTE.toml says instead.

    Raises:
        LabError: it says "either" without saying why.
    """
    said = tomllib.loads((service.folder / "expected.toml").read_text())
    if service.route:
        said |= tomllib.loads((service.folder / f"expected-{service.route}.toml").read_text())
    found = {check: Truth(check=check, **facts) for check, facts in said.items()}
    for truth in found.values():
        if EITHER in {truth.verdict, *truth.variants.values()} and not truth.why.strip():
            raise LabError(f'{service.title}, {truth.check}: "either" without a `why`; wanted what hangs on the load')
    return found


def mismatches(findings: Sequence[Mapping[str, Any]], expected: Mapping[str, Truth]) -> list[str]:
    """Every difference between the `findings` of a JSON report and the truth, a sentence each; none if it is exact."""
    found = {finding["check"]: finding for finding in findings}
    said = [f"{check}: not in the report, expected {truth}" for check, truth in expected.items() if check not in found]
    for check, finding in found.items():
        said += _difference(finding, expected[check]) if check in expected else [f"{check}: not in expected.toml"]
    return said


def _difference(finding: Mapping[str, Any], truth: Truth) -> list[str]:
    got = Truth(truth.check, finding["verdict"], finding["severity"] or "none")
    said = [] if truth.admits(got.verdict, got.severity) else [f"{truth.check}: {got}, expected {truth}"]
    variants = _variants(finding)
    return said + [
        f"{truth.check}, variant {variant}: {variants.get(variant, 'missing')}, expected {verdict}"
        for variant, verdict in truth.variants.items()
        if variants.get(variant) not in (_ANSWERS_TO_EITHER if verdict == EITHER else {verdict})
    ]


def _variants(finding: Mapping[str, Any]) -> dict[str, str]:
    """The verdict of every variant, wherever a variant is more than its verdict."""
    said = finding["evidence"].get("variants", {})
    return {name: fact if isinstance(fact, str) else fact["verdict"] for name, fact in said.items()}
