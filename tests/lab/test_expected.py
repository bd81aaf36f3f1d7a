"""`either`: both answers to a race are right, nothing else is, and a reason has to be given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab._expected import EITHER, Truth, mismatches, truths
from lab._services import LabError

TRUTH = Truth("c", EITHER, "high", {"identical": EITHER}, "The window is as wide as the statements take.")


def finding(verdict: str, severity: str | None, identical: str) -> dict[str, Any]:
    return {
        "check": "c",
        "verdict": verdict,
        "severity": severity,
        "evidence": {"variants": {"identical": {"verdict": identical}}},
    }


@pytest.mark.parametrize(("verdict", "severity"), [("VIOLATED", "high"), ("NOT_OBSERVED", None)])
def test_either_admits_both_answers(verdict: str, severity: str | None) -> None:
    assert mismatches([finding(verdict, severity, verdict)], {"c": TRUTH}) == []


@pytest.mark.parametrize(
    ("verdict", "severity"), [("INCONCLUSIVE", None), ("NOT_APPLICABLE", None), ("VIOLATED", "low")]
)
def test_either_admits_nothing_else(verdict: str, severity: str | None) -> None:
    said = mismatches([finding(verdict, severity, "VIOLATED")], {"c": TRUTH})
    assert said[0].endswith("expected either VIOLATED high or NOT_OBSERVED")


def test_a_variant_that_is_either_may_not_be_inconclusive() -> None:
    assert mismatches([finding("VIOLATED", "high", "INCONCLUSIVE")], {"c": TRUTH}) == [
        "c, variant identical: INCONCLUSIVE, expected either"
    ]


def test_either_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "expected.toml").write_text('[c]\nverdict = "either"\nseverity = "high"\n')
    service: Any = SimpleNamespace(folder=tmp_path, title="s", route="")
    with pytest.raises(LabError, match='s, c: "either" without a `why`'):
        truths(service)
