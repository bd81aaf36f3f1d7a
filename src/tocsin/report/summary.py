"""What of a run is compared with another run, from the run itself or from its JSON report. PURE.

Rule: a report is a file from anywhere. What cannot be understood is refused with the place and what was wanted there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.events import RunStarted
from tocsin.findings import Finding, Json, Severity, Verdict
from tocsin.report._utc import rfc3339

_Object: TypeAlias = "Mapping[str, Json]"


class ReportError(ValueError):
    """A file is no JSON report of a scan."""


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """One check's conclusion.

    Args:
        variants: the parts of the check that were violated, where it has parts.
        upper_limit: of the clean bound, or None.
        trials: of the clean bound, or None.
    """

    check: str
    verdict: Verdict
    severity: Severity
    variants: frozenset[str]
    effects: int | None
    upper_limit: float | None
    trials: int | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run: what was scanned, and what every check concluded."""

    operation: str
    target: str
    started_at: str
    checks: Mapping[str, CheckSummary]


def finding_id(operation: str, check: str) -> str:
    """What stays the same for the same hole of the same operation, in any run, on any host, in any plan's folder."""
    return hashlib.sha256(f"tocsin finding 1\n{operation}\n{check}".encode()).hexdigest()[:12]


def violated_variants(facts: _Object) -> frozenset[str]:
    """The parts of a check that were violated, by its evidence."""
    variants = facts.get("variants")
    if not isinstance(variants, Mapping):
        return frozenset()
    return frozenset(
        name
        for name, variant in variants.items()
        if isinstance(variant, Mapping) and variant.get("verdict") == Verdict.VIOLATED
    )


def summary_of(started: RunStarted, findings: Sequence[Finding]) -> RunSummary:
    """The summary of a run that this process has seen."""
    return RunSummary(
        started.operation,
        started.target,
        rfc3339(started.started_at_unix),
        {
            finding.check: CheckSummary(
                finding.check,
                finding.verdict,
                finding.severity,
                violated_variants(finding.evidence.facts),
                finding.effects,
                None if finding.bound is None else finding.bound.upper_limit,
                None if finding.bound is None else finding.bound.trials,
            )
            for finding in findings
        },
    )


def read_summary(text: str) -> RunSummary:
    """The summary of a run from its JSON report, of this version's schema or an older one.

    Raises:
        ReportError: it is no such report.
    """
    try:
        report: Json = json.loads(text)
    except (ValueError, RecursionError):
        raise ReportError("not JSON: wanted a report of tocsin scan --json") from None
    report = _object(report, "the report")
    findings = report.get("findings")
    if not isinstance(findings, Sequence) or isinstance(findings, str):
        raise ReportError("no findings: wanted a report of tocsin scan --json")
    checks = [_check(_object(finding, f"finding {place}"), place) for place, finding in enumerate(findings, start=1)]
    return RunSummary(
        _text(report, "operation", "the report"),
        _text(report, "target", "the report"),
        _text(report, "started_at", "the report"),
        {check.check: check for check in checks},
    )


def _check(finding: _Object, place: int) -> CheckSummary:
    name = f"finding {place}"
    bound = _object(finding.get("bound") or {}, f"the bound of {name}")
    evidence = _object(finding.get("evidence"), f"the evidence of {name}")
    try:
        verdict, severity = Verdict(_text(finding, "verdict", name)), Severity(_text(finding, "severity", name))
    except ValueError as error:
        raise ReportError(f"{name}: {error}") from None
    if (verdict is Verdict.VIOLATED) != (severity is not Severity.NONE):
        raise ReportError(f"{name}: a severity goes with VIOLATED and with nothing else, not {verdict}")
    limit, trials, effects = bound.get("upper_limit"), bound.get("trials"), finding.get("effects")
    return CheckSummary(
        _text(finding, "check", name),
        verdict,
        severity,
        violated_variants(evidence),
        _count(effects),
        # NaN is not within, and neither is what no float can hold.
        float(limit) if isinstance(limit, int | float) and 0 <= limit <= 1 else None,
        _count(trials),
    )


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _object(value: Json, name: str) -> _Object:
    if not isinstance(value, Mapping):
        raise ReportError(f"{name} is no JSON object: wanted a report of tocsin scan --json")
    return value


def _text(holder: _Object, member: str, name: str) -> str:
    value = holder.get(member)
    if not isinstance(value, str):
        raise ReportError(f"{name} has no {member}: wanted a report of tocsin scan --json")
    return value
