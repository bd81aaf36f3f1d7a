"""Each hole of the published remediations is a row, and a row is shown by its own evidence and by nothing else."""

from typing import Any

import pytest

from bench.published import row, table
from lab._expected import truths
from lab._published import HOLES, Hole, is_shown
from lab._services import find, names
from tocsin import scan

CHECKS = {check.id for check in scan.CHECKS}
EVIDENCE: dict[str, dict[str, Any]] = {
    "signature-bypass": {"probes": {"non_ascii": "server_error"}},
    "signed-robustness": {
        "effects_of_both_sendings": {"/order_id null": [1, 1]},
        "server_errors": ["/order_id missing", "/order_id list", "body: a list"],
    },
    "signature-coverage": {
        "other_routes": {"POST /returns": "accepted"},
        "parts": {"timestamp": "absent", "nonce": "absent", "raw_body": "not covered"},
    },
}


def named(hole: Hole) -> str:
    return f"{hole.remediation}: {hole.what}"


def finding(check: str, verdict: str, evidence: dict[str, Any]) -> dict[str, Any]:
    return {"check": check, "verdict": verdict, "severity": "high", "evidence": evidence}


@pytest.mark.parametrize("hole", HOLES, ids=named)
def test_a_hole_is_shown_by_its_evidence_under_a_violation(hole: Hole) -> None:
    assert hole.check in CHECKS
    evidence = EVIDENCE.get(hole.check, {})
    assert is_shown(hole, finding(hole.check, "VIOLATED", evidence))
    assert not is_shown(hole, finding(hole.check, "NOT_OBSERVED", evidence))
    if hole.check in EVIDENCE:
        assert not is_shown(hole, finding(hole.check, "VIOLATED", {}))


@pytest.mark.parametrize("hole", [hole for hole in HOLES if hole.service in names()], ids=named)
def test_what_a_hole_asks_of_a_scan_is_what_the_service_is_said_to_be(hole: Hole) -> None:
    truth = truths(find(hole.service))[hole.check]
    assert (truth.verdict == "VIOLATED") == (not hole.unseen)


def test_a_hole_that_a_scan_does_not_show_is_told_and_is_not_as_expected() -> None:
    hole = next(hole for hole in HOLES if hole.check == "signature-bypass")
    missed = row(hole, finding("signature-bypass", "NOT_OBSERVED", {}))
    assert not missed["is_as_expected"]
    assert table([missed])[-1].endswith("| NOT_OBSERVED; NOT SHOWN |")
    unseen = row(next(hole for hole in HOLES if hole.unseen), finding("contention-errors", "NOT_OBSERVED", {}))
    assert unseen["is_as_expected"]
    assert "not shown: it takes a commit" in table([unseen])[-1]
