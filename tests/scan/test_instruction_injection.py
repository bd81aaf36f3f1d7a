from typing import Any

import pytest

from tests.scan.services.desk import Desk
from tests.scan.services.gullible import (
    BelievesAFlag,
    BelievesATool,
    BelievesEverybody,
    BelievesTheAlgorithm,
    BelievesTheGateway,
    BelievesTheKey,
    BelievesTheQuery,
    IsPolluted,
    Reads,
    ReadsBase64,
    ReadsWhatNobodySees,
    SaysThatItBelieves,
    TakesTheLastOfTwo,
)
from tests.scan.services.limited import Limited
from tests.scan.services.scanning import scan
from tocsin.findings import Severity, Verdict
from tocsin.scan import _probes
from tocsin.scan.checks import instruction_injection
from tocsin.scan.checks.instruction_injection import _Forging

CHECK = "instruction-injection"
pytestmark = pytest.mark.usefixtures("brisk")


def test_a_service_that_goes_by_the_signature_alone_accepts_no_text() -> None:
    found = scan(Desk(), CHECK)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.finding.bound is not None
    assert found.finding.bound.unit == "texts accepted"
    assert found.finding.bound.trials == sum(found.fact("families").values()) >= 90
    assert set(found.fact("families")) == {"flag", "header", "algorithm", "duplicate", "assignment", "key", "prompt"}
    assert set(found.fact("probes").values()) == {"refused"}


@pytest.mark.parametrize(
    ("desk", "taken"),
    [
        (BelievesAFlag(), "signature_valid in member signature_valid"),
        (BelievesTheGateway(), "header X-Forwarded-For"),
        (BelievesTheQuery(), "skip_verification in the query"),
        (BelievesTheAlgorithm(), "alg none in member alg"),
        (BelievesTheKey(), "signing_secret in member signing_secret"),
        (IsPolluted(), "__proto__ in member __proto__"),
        (TakesTheLastOfTwo(), "a second signature header: empty"),
        (Reads(), "direct, member note"),
        (ReadsBase64(), "base64, member note"),
        (ReadsWhatNobodySees(), "zero-width, member note"),
        (BelievesATool(), "forged tool result, member note"),
    ],
)
def test_a_text_that_changes_the_decision_is_found_and_named(desk: Desk, taken: str) -> None:
    found = scan(desk, CHECK)
    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.CRITICAL)
    assert found.fact("probes", taken) == "accepted"
    assert found.fact("accepted_without_text") == "0 of 3"
    assert found.fact("came_back") == "3 of 3"
    assert taken in found.finding.evidence.summary
    assert found.finding.remedy is not None
    assert ("before a language model sees a byte" in found.finding.remedy.text) is isinstance(desk, Reads)


def test_a_form_and_a_plain_text_are_told_to_as_well() -> None:
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": "order_id={{uuid}}&item={{item}}"}
    sent = _bodies_of({"request": form})
    assert any(body.endswith(b"&signature_valid=true") for body in sent)
    plain = {"headers": {"Content-Type": "text/plain"}, "body": "{{uuid}} {{item}}"}
    sent = _bodies_of({"request": plain})
    assert any(body.endswith(b"\nsignature_valid: true") for body in sent)


def _bodies_of(changed: dict[str, Any]) -> list[bytes]:
    class Worded(Desk):
        """Whatever is signed has an effect."""

        def signed(self, _asked: Any) -> Any:
            self.taken += 1
            return self.accepted()

    desk = Worded()
    total = [{"name": "taken", "request": "GET /count", "pointer": "/count", "settle_ms": 0}]
    assert scan(desk, CHECK, state=total, limits=None, **changed).finding.verdict is Verdict.NOT_OBSERVED
    return [asked.body for asked in desk.orders_asked()]


def test_a_short_share_asks_some_of_every_family_and_says_that_it_was_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instruction_injection, "_AT_ONCE", 14)
    finding = scan(Desk(), CHECK, budget={"seconds": 0.12}).finding
    assert finding.verdict in {Verdict.NOT_OBSERVED, Verdict.INCONCLUSIVE}
    assert "time ended after" in finding.evidence.summary or "is used up" in finding.evidence.summary


def test_what_a_rate_limiter_turns_away_is_asked_again_alone() -> None:
    found = scan(Limited(range(3, 10_000)), CHECK)
    assert found.finding.verdict is not Verdict.VIOLATED


def test_an_answer_that_only_says_so_is_no_finding_and_would_be_one_by_its_wording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert scan(SaysThatItBelieves(), CHECK).finding.verdict is Verdict.NOT_OBSERVED

    def by_status(context: Any, makes: Any, **_: Any) -> Any:
        scene = context.stage.scene()
        statuses = {name: _probes.answered(context, make(context.stage.draft(scene))) for name, make in makes.items()}
        return {name: _probes.Probed(status, 1, accepted=status == 200) for name, status in statuses.items()}

    monkeypatch.setattr(instruction_injection, "together", by_status)
    assert scan(SaysThatItBelieves(), CHECK).finding.verdict is Verdict.VIOLATED


def test_a_service_that_accepts_any_forgery_is_another_checks_and_without_the_control_would_be_this_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = scan(BelievesEverybody(), CHECK).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "which is for signature-bypass to say" in finding.evidence.summary

    monkeypatch.setattr(_Forging, "accepted_without", lambda _: 0)
    assert scan(BelievesEverybody(), CHECK).finding.verdict is Verdict.VIOLATED
