"""The report for programs, as report.schema.json describes it. PURE.

Rule: everything a run found is in it, clean checks too, and nothing that only a program of ours could read. A member
that is added keeps the schema's version; one that goes, or means something else, makes a new one.
"""

import json
from collections.abc import Sequence

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Bound, Evidence, Finding, Json, Remedy, Reproducer
from tocsin.history import History
from tocsin.report._utc import rfc3339
from tocsin.report._words import not_run
from tocsin.report.scan_bound import JointLimit, joint_limits
from tocsin.report.standing import NO_TERMS, Terms, standing
from tocsin.report.summary import finding_id

# 1 had no score, no ids and no joint limits, and did not name its version.
SCHEMA_VERSION = 2

_OF_EVIDENCE_ITSELF = frozenset({"summary", "timeline"})


def render(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, terms: Terms = NO_TERMS) -> str:
    """The report as JSON text that ends with a newline.

    ASCII only: text of the scanned service stays escaped, whatever shows the file.

    Raises:
        ValueError: a fact is called like a member that evidence has itself, or is NaN or infinite.
    """
    stood = standing(started, findings, terms)
    report: dict[str, Json] = {
        "schema": SCHEMA_VERSION,
        "tocsin": started.version,
        "target": started.target,
        "operation": started.operation,
        "plan": started.plan,
        "seed": started.seed,
        "delivery": started.delivery,
        "started_at": rfc3339(started.started_at_unix),
        "elapsed_s": round(ended.elapsed_s, 3),
        "requests": ended.requests,
        "effects": ended.effects,
        "interrupted": ended.interrupted,
        "left_behind": ended.left_behind,
        "not_run": not_run(started, findings),
        "verdict": stood.verdict,
        "score": stood.score.points,
        "grade": stood.score.grade,
        "lost": dict(stood.score.lost),
        "unanswered": stood.score.unanswered,
        "statement": ended.statement,
        "joint_limits": [_joint(limit) for limit in joint_limits(findings, ended.bounds_asked)],
        "findings": [
            _finding(finding, finding_id(started.operation, finding.check), known=finding.check in stood.known)
            for finding in findings
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def _joint(limit: JointLimit) -> Json:
    return {"of": limit.of, "trials": limit.trials, "unit": limit.unit, "upper_limit": limit.upper_limit}


def _finding(finding: Finding, identity: str, *, known: bool) -> Json:
    return {
        "id": identity,
        "check": finding.check,
        "title": finding.title,
        "verdict": finding.verdict,
        "severity": finding.severity,
        "known": known,
        "effects": finding.effects,
        "allowed_effects": finding.allowed_effects,
        "bound": _bound(finding.bound),
        "evidence": _evidence(finding.check, finding.evidence),
        "reproducer": _reproducer(finding.reproducer),
        "remedy": _remedy(finding.remedy),
        "cwe": finding.cwe,
        "owasp": finding.owasp,
    }


def _bound(bound: Bound | None) -> Json:
    if bound is None:
        return None
    return {
        "text": str(bound),
        "trials": bound.trials,
        "unit": bound.unit,
        "upper_limit": bound.upper_limit,
        "detail": bound.detail,
        "mixture": bound.mixture,
        "void": bound.void,
    }


def _evidence(check: str, evidence: Evidence) -> Json:
    taken = _OF_EVIDENCE_ITSELF & evidence.facts.keys()
    if taken:
        raise ValueError(f"{check}: facts may not be called {' or '.join(sorted(taken))}; evidence itself has these")
    return {
        "summary": evidence.summary,
        **evidence.facts,
        "timeline": _timeline(evidence.timeline),
    }


def _timeline(history: History | None) -> Json:
    if history is None:
        return None
    return {
        "most_in_flight": history.most_in_flight(),
        "statuses": history.statuses(),
        "operations": [
            {
                "label": operation.label,
                "called_at_us": operation.called_at_us,
                "returned_at_us": operation.returned_at_us,
                "status": operation.status,
            }
            for operation in history
        ],
    }


def _reproducer(reproducer: Reproducer | None) -> Json:
    if reproducer is None:
        return None
    return {"command": reproducer.command, "requests": reproducer.requests}


def _remedy(remedy: Remedy | None) -> Json:
    if remedy is None:
        return None
    return {"text": remedy.text, "guard_call": remedy.guard_call}
