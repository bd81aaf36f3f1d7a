"""The report for code scanners: SARIF 2.1.0 (OASIS, with errata 01). PURE.

Rule: `kind` says what became of a check, and only `fail` has a level (3.27.9, 3.27.10). The user's command line is not
in it, which may carry a secret; the command that reruns a check is, which never does.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Json, Severity, Verdict
from tocsin.report._plain_text import line
from tocsin.report._rules import CWE, OWASP, Rules
from tocsin.report._utc import rfc3339
from tocsin.report._words import bound, effects, not_run
from tocsin.report.standing import NO_TERMS, Standing, Terms, is_no_worse, standing
from tocsin.report.summary import RunSummary, finding_id, summary_of

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_KINDS = {
    Verdict.VIOLATED: "fail",
    Verdict.NOT_OBSERVED: "pass",
    Verdict.INCONCLUSIVE: "open",
    Verdict.NOT_APPLICABLE: "notApplicable",
}
LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.NONE: "none",
}
# How a plan is named that is no file: see `tocsin scan --curl`.
_NO_FILE = "-"


def render(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, terms: Terms = NO_TERMS) -> str:
    """The report as JSON text that ends with a newline. ASCII only, as the JSON report."""
    stood = standing(started, findings, terms)
    missing = not_run(started, findings)
    rules = Rules(findings, missing)
    results = [_result(finding, started, rules, terms.baseline) for finding in findings]
    results += [_not_run(check, started, rules) for check in missing]
    run: dict[str, Json] = {
        "tool": {"driver": _driver(started, rules)},
        "automationDetails": {"id": f"tocsin/{line(started.operation)}/"},
        "invocations": [_invocation(started, ended, stood)],
        "logicalLocations": [_logical(started) | {"properties": {"target": line(started.target)}}],
        "results": results,
        "taxonomies": rules.taxonomies(),
        "properties": {
            "verdict": stood.verdict,
            "score": stood.score.points,
            "grade": stood.score.grade,
            "seed": started.seed,
            "delivery": line(started.delivery),
            "requests": ended.requests,
            "effects": ended.effects,
        },
    }
    plan = _plan(started)
    if plan is not None:
        run["artifacts"] = [{"location": plan, "roles": ["userSpecifiedConfiguration"]}]
    log: Json = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _driver(started: RunStarted, rules: Rules) -> Json:
    return {
        "name": "Tocsin",
        "version": started.version,
        "shortDescription": {"text": "Finds race conditions behind signed HTTP requests, and rules them out."},
        "rules": rules.descriptors(),
        "supportedTaxonomies": rules.references(),
    }


def _invocation(started: RunStarted, ended: RunEnded, stood: Standing) -> Json:
    told = [text for text in (ended.interrupted, ended.left_behind and f"Left behind: {ended.left_behind}") if text]
    invocation: dict[str, Json] = {
        "executionSuccessful": not ended.interrupted,
        "startTimeUtc": rfc3339(started.started_at_unix),
        "endTimeUtc": rfc3339(started.started_at_unix + ended.elapsed_s),
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": _text(text)}} for text in told],
    }
    if not ended.interrupted:
        # What ends a run early can have an exit code of its own, which no report is told.
        invocation |= {"exitCode": stood.exit_code, "exitCodeDescription": stood.reason}
    return invocation


def _result(finding: Finding, started: RunStarted, rules: Rules, baseline: RunSummary | None) -> Json:
    parts = [finding.evidence.summary, effects(finding, "effect"), bound(finding)]
    if finding.remedy is not None:
        parts.append(f"Fix: {finding.remedy.text}")
    if finding.reproducer is not None:
        parts.append(f"Rerun: {finding.reproducer.command}")
    result = _bare(finding.check, finding.verdict, started, rules) | {
        "level": LEVELS[finding.severity],
        "message": {"text": "\n\n".join(_text(part) for part in parts if part)},
        "properties": {
            "verdict": finding.verdict,
            "severity": finding.severity,
            "effects": finding.effects,
            "allowedEffects": finding.allowed_effects,
            "upperLimit": None if finding.bound is None else finding.bound.upper_limit,
            "trials": None if finding.bound is None else finding.bound.trials,
        },
    }
    if finding.verdict is Verdict.VIOLATED:
        result["taxa"] = [
            *(rules.reference(CWE, str(number)) for number in finding.cwe),
            *([rules.reference(OWASP, finding.owasp)] if finding.owasp else []),
        ]
        if baseline is not None:
            result["baselineState"] = _baseline_state(finding, started, baseline)
    return result


def _not_run(check: str, started: RunStarted, rules: Rules) -> Json:
    text = "This check was to run and came to no conclusion."
    return _bare(check, Verdict.INCONCLUSIVE, started, rules) | {"level": "none", "message": {"text": text}}


def _bare(check: str, verdict: Verdict, started: RunStarted, rules: Rules) -> dict[str, Json]:
    return {
        "ruleId": check,
        "ruleIndex": rules.index(check),
        "kind": _KINDS[verdict],
        "locations": [_location(started)],
        "partialFingerprints": {"tocsinFinding/v1": finding_id(started.operation, check)},
    }


def _baseline_state(finding: Finding, started: RunStarted, baseline: RunSummary) -> str:
    before = baseline.checks.get(finding.check)
    if before is None or before.verdict is not Verdict.VIOLATED:
        return "new"
    return "unchanged" if is_no_worse(summary_of(started, [finding]).checks[finding.check], before) else "updated"


def _location(started: RunStarted) -> Json:
    location: dict[str, Json] = {"logicalLocations": [_logical(started) | {"index": 0}]}
    plan = _plan(started)
    if plan is not None:
        # Some viewers show no result without a line; the plan as a whole is meant.
        location["physicalLocation"] = {"artifactLocation": {**plan, "index": 0}, "region": {"startLine": 1}}
    return location


def _logical(started: RunStarted) -> dict[str, Json]:
    operation = line(started.operation)
    return {"name": operation, "fullyQualifiedName": operation, "kind": "resource"}


def _plan(started: RunStarted) -> Mapping[str, Json] | None:
    """Where the plan is: relative to wherever the scan was started, if it was named so."""
    if started.plan.startswith(_NO_FILE):
        return None
    path = PurePath(started.plan)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix(), errors="replace"), "uriBaseId": "%SRCROOT%"}


def _text(text: str) -> str:
    """Text of others as a message: no hidden characters, and no embedded link (3.11.6)."""
    return line(text).replace("](", "] (")
